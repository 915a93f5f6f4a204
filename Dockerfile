# Two images: `otel-metrics` (the default) with this package, and `collector`, the released
# OpenTelemetry Collector with what a health check needs.
#
#   docker build -t otel-metrics .
#   docker run --rm otel-metrics demo

FROM python:3.13.9-slim-bookworm AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY otel_metrics ./otel_metrics
COPY exporters ./exporters
RUN python -m venv /opt/otel-metrics \
    && /opt/otel-metrics/bin/pip install --no-cache-dir '.[web,query,auth,nats]'

# The official image has no shell and no HTTP client, and so no way to ask it how it is.
FROM otel/opentelemetry-collector-contrib:0.158.0 AS contrib
FROM alpine:3.22.2 AS collector
COPY --from=contrib /otelcol-contrib /usr/local/bin/otelcol
# A named volume takes owner and mode of the folder that it is mounted over.
RUN install -d -o 10001 -g 10001 -m 0700 /var/lib/otelcol
USER 10001:10001
ENTRYPOINT ["otelcol"]

FROM python:3.13.9-slim-bookworm AS otel-metrics
# For collector-config/compose/secrets.sh.
RUN apt-get update && apt-get install --yes --no-install-recommends openssl \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /opt/otel-metrics /opt/otel-metrics
RUN install -d -o 10001 -g 10001 -m 0750 /var/lib/otel-metrics
ENV PATH=/opt/otel-metrics/bin:$PATH \
    OTEL_EXPORTER_NDJSON_PATH=/var/lib/otel-metrics
USER 10001:10001
VOLUME /var/lib/otel-metrics
ENTRYPOINT ["otel-metrics"]
CMD ["demo"]
