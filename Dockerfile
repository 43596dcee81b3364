# One container: the locked runtime dependencies in a virtual environment, the code, no shell needed to run it.
FROM python:3.13-slim-trixie AS build
WORKDIR /src
COPY requirements.lock ./
RUN python -m venv /opt/kubetape \
 && /opt/kubetape/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements.lock
COPY pyproject.toml README.md LICENSE requirements-dev.lock ./
COPY protocol protocol
COPY storage storage
COPY gateway gateway
COPY benchmarks benchmarks
# What builds is fetched by its hash as well: it runs here, with everything above in its reach.
RUN sed -n '/^setuptools==/,/# via/p' requirements-dev.lock > build.lock \
 && /opt/kubetape/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes -r build.lock \
 && /opt/kubetape/bin/pip install --no-cache-dir --disable-pip-version-check --no-deps --no-build-isolation . \
 && /opt/kubetape/bin/pip uninstall -y setuptools \
 && /opt/kubetape/bin/python -m compileall -q /opt/kubetape/lib

FROM python:3.13-slim-trixie
LABEL org.opencontainers.image.title="kubetape" \
      org.opencontainers.image.description="Flight recorder and gate for Kubernetes" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/kubetape /opt/kubetape
# The data directory must be a persistent volume: the record is only as safe as its disk.
RUN mkdir -p /var/lib/kubetape && chown 65532:65532 /var/lib/kubetape
USER 65532:65532
VOLUME /var/lib/kubetape
EXPOSE 6443 9090
# One worker unless told otherwise, for a container knows its node's CPUs and not its share: docs/configuration.md, "In a container".
ENTRYPOINT ["/opt/kubetape/bin/kubetape"]
CMD ["serve", "--in-cluster", "--data-dir", "/var/lib/kubetape", "--listen", "0.0.0.0:6443", "--mgmt-listen", "0.0.0.0:9090"]
