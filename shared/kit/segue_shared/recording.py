"""Recording: where do a service's spans go?"""

import importlib
from typing import Final

import structlog

_INSTALL: Final = "install 'segue-shared[otel]'"
_API: Final = "opentelemetry.trace"
_SDK: Final = "opentelemetry.sdk.trace"
_EXPORTER: Final = "opentelemetry.exporter.otlp.proto.http.trace_exporter"

_log = structlog.get_logger()


def record(service: str, *, instance: str) -> bool:
    """Send every span of this process to the collector that OpenTelemetry's variables name.

    The address, headers and sampling are read by OpenTelemetry itself; what is left at the end of
    the process is sent then.

    Args:
        service: The service's name.
        instance: Which one of it.

    Returns:
        Whether spans are recorded; without the SDK they are not, and the log says so.
    """
    try:
        api, sdk = importlib.import_module(_API), importlib.import_module(_SDK)
        export = importlib.import_module(f"{_SDK}.export")
        exporter = importlib.import_module(_EXPORTER)
        resources = importlib.import_module("opentelemetry.sdk.resources")
    except ImportError as error:
        _log.warning("spans_not_recorded", reason=f"{error}; {_INSTALL}")
        return False
    names = {"service.name": f"segue-{service}", "service.instance.id": instance}
    provider = sdk.TracerProvider(resource=resources.Resource.create(names))
    provider.add_span_processor(export.BatchSpanProcessor(exporter.OTLPSpanExporter()))
    api.set_tracer_provider(provider)
    return True
