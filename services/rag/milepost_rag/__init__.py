"""Answers from a folder of documents, with their sources: chunked by structure, found by meaning and by word."""

from milepost_rag.chunks import Chunk, chunks_of
from milepost_rag.index import Index, Passage
from milepost_rag.library import Changes, Library
from milepost_rag.settings import RagSettings

__all__ = ["Changes", "Chunk", "Index", "Library", "Passage", "RagSettings", "chunks_of"]
