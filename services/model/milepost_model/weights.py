"""A GGUF file in memory: its weights and its vocabulary. Tokenising is safe from any thread."""

import ctypes
from functools import cached_property
from pathlib import Path

import llama_cpp

from milepost_service.errors import ConfigurationError
from milepost_service.models import require_gguf, silence_llama

_POOLING_KEY = "{architecture}.pooling_type"


class Weights:
    """Loads the file at once; ConfigurationError when llama.cpp refuses it."""

    def __init__(self, path: Path) -> None:
        require_gguf(path, "llamaCpp.source")
        silence_llama(llama_cpp)
        llama_cpp.llama_backend_init()
        self.path = path
        self.file_bytes = path.stat().st_size
        self.handle = llama_cpp.llama_model_load_from_file(str(path).encode(), llama_cpp.llama_model_default_params())
        if not self.handle:
            raise ConfigurationError(
                f"llamaCpp.source: {path} cannot be loaded by llama.cpp; allowed: a whole GGUF model file"
            )
        self.vocabulary = llama_cpp.llama_model_get_vocab(self.handle)
        """llama.cpp's handle of it."""
        self.vocabulary_size: int = llama_cpp.llama_vocab_n_tokens(self.vocabulary)

    def close(self) -> None:
        """Frees the weights; contexts made of them must be closed before."""
        if self.handle:
            llama_cpp.llama_model_free(self.handle)
            self.handle = None

    @property
    def name(self) -> str:
        return self.path.name

    @cached_property
    def size_bytes(self) -> int:
        """Bytes of all tensors."""
        return int(llama_cpp.llama_model_size(self.handle))

    @cached_property
    def embedding_size(self) -> int:
        return int(llama_cpp.llama_model_n_embd(self.handle))

    @cached_property
    def trained_context(self) -> int:
        """Tokens that the model was trained for."""
        return int(llama_cpp.llama_model_n_ctx_train(self.handle))

    @cached_property
    def embeds_only(self) -> bool:
        """True for encoders (BERT and the like), which make embeddings and no text."""
        architecture = self._metadata("general.architecture")
        return bool(self._metadata(_POOLING_KEY.format(architecture=architecture)))

    @cached_property
    def chat_template(self) -> str | None:
        template = llama_cpp.llama_model_chat_template(self.handle, None)
        return template.decode() if template else None

    @cached_property
    def control_texts(self) -> tuple[str, ...]:
        """Texts of the control tokens, for example `<|im_end|>`, longest first."""
        texts = {
            llama_cpp.llama_vocab_get_text(self.vocabulary, token).decode(errors="replace")
            for token in range(self.vocabulary_size)
            if llama_cpp.llama_vocab_is_control(self.vocabulary, token)
        }
        return tuple(sorted((text for text in texts if text), key=len, reverse=True))

    @cached_property
    def begin_text(self) -> str:
        return self._text_of(llama_cpp.llama_vocab_bos(self.vocabulary))

    @cached_property
    def end_text(self) -> str:
        return self._text_of(llama_cpp.llama_vocab_eos(self.vocabulary))

    def ends(self, token: int) -> bool:
        """True for tokens that end an answer."""
        return bool(llama_cpp.llama_vocab_is_eog(self.vocabulary, token))

    def tokens_of(self, text: str, *, begin: bool, control: bool) -> list[int]:
        """Tokens of `text`.

        `begin` adds what the vocabulary puts before (and after) a whole input; `control` reads control texts
        such as `<|im_end|>` as the tokens that they name.
        """
        data = text.encode()
        room = len(data) + 2
        buffer = (llama_cpp.llama_token * room)()
        count = llama_cpp.llama_tokenize(self.vocabulary, data, len(data), buffer, room, begin, control)
        return list(buffer[:count])

    def bytes_of(self, token: int) -> bytes:
        """Bytes that a token stands for; control tokens stand for none."""
        buffer = ctypes.create_string_buffer(64)
        size = llama_cpp.llama_token_to_piece(self.vocabulary, token, buffer, len(buffer), 0, False)
        if size < 0:
            buffer = ctypes.create_string_buffer(-size)
            size = llama_cpp.llama_token_to_piece(self.vocabulary, token, buffer, len(buffer), 0, False)
        return buffer.raw[:size]

    def _text_of(self, token: int) -> str:
        text: bytes | None = llama_cpp.llama_vocab_get_text(self.vocabulary, token) if token >= 0 else None
        return text.decode(errors="replace") if text else ""

    def _metadata(self, key: str) -> str:
        buffer = ctypes.create_string_buffer(256)
        size = llama_cpp.llama_model_meta_val_str(self.handle, key.encode(), buffer, len(buffer))
        return buffer.value.decode(errors="replace") if size >= 0 else ""
