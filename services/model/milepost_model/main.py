"""`milepost-model`: the engine that the resource names, each imported where it is served alone."""

from milepost_model.settings import ModelSettings
from milepost_service.resource import load_model_service
from milepost_service.server import run


async def serve_model(settings: ModelSettings) -> None:
    """Serves the ModelService of the settings until it is told to stop."""
    resource = load_model_service(settings.service_file, engine=("llamaCpp", "openAI"))
    if resource.spec.open_ai is not None:
        from milepost_model.remote.process import serve_remote  # noqa: PLC0415 -- loads an HTTP client

        await serve_remote(settings, resource)
        return
    from milepost_model.llama_process import serve_llama  # noqa: PLC0415 -- loads llama.cpp

    await serve_llama(settings, resource)


async def _main() -> None:
    await serve_model(ModelSettings.load())


def main() -> None:
    """Entry point."""
    run(_main(), name="milepost-model")
