# The one image of Mooring: operator, agent and the plugin that the agent installs.
# `docker build .` needs nothing else. Where these two images cannot be pulled, name others.
ARG GO_IMAGE=golang:1.26
ARG PYTHON_IMAGE=python:3.11-slim

FROM ${GO_IMAGE} AS plugin
# How to reach modules from where this is built; empty means Go's own defaults.
ARG GOPROXY
ARG GOSUMDB
ARG GOFLAGS
WORKDIR /src/plugin
COPY plugin/go.mod plugin/go.sum ./
RUN go mod download
COPY plugin/ ./
ARG VERSION=0.2.0
ARG COMMIT=unknown
ARG DATE=unknown
RUN sh build /out/usr/libexec/mooring "${VERSION}" "${COMMIT}" "${DATE}"

FROM ${GO_IMAGE} AS cri
ARG GOPROXY
ARG GOSUMDB
ARG GOFLAGS
WORKDIR /src/cri
COPY cri/go.mod cri/go.sum ./
RUN go mod download
COPY cri/ ./
ARG VERSION=0.2.0
RUN sh build /out/usr/libexec/mooring "${VERSION}"

FROM ${PYTHON_IMAGE} AS python
# How to reach packages from where this is built; empty means pip's own defaults.
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG PIP_CERT
ARG PIP_DEFAULT_TIMEOUT
ARG PIP_DISABLE_PIP_VERSION_CHECK=1
ARG PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
COPY locks/ locks/
# Two environments: one that runs, without pip, and one that builds, of which nothing stays. The build backend and
# what it needs are locked with the development tools; pip refuses what has no hash there.
# Bytecode that is not checked against its source's time stays valid in any layer.
RUN python3 -m venv /opt/build \
 && python3 -m venv --without-pip /opt/mooring \
 && /opt/build/bin/pip --python /opt/mooring/bin/python install --quiet --no-compile --require-hashes -r locks/runtime.txt \
 && /opt/mooring/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/mooring/lib \
 && awk '/^[a-z]/ { keep = /^(hatchling|packaging|pathspec|pluggy|tomlkit|trove-classifiers)==/ } keep' locks/dev.txt >/tmp/backend.txt \
 && /opt/build/bin/pip install --quiet --require-hashes -r /tmp/backend.txt

FROM python AS package
COPY pyproject.toml README.md LICENSE ./
COPY operator/ operator/
RUN /opt/build/bin/pip wheel --quiet --no-deps --no-build-isolation --wheel-dir /wheels . \
 && /opt/build/bin/pip --python /opt/mooring/bin/python install --quiet --no-compile --no-deps --no-index --root /out /wheels/*.whl \
 && /opt/mooring/bin/python -m compileall -q --invalidation-mode unchecked-hash -s /out -p / /out/opt/mooring/lib

FROM ${PYTHON_IMAGE}
LABEL org.opencontainers.image.title="Mooring" \
      org.opencontainers.image.licenses="Apache-2.0"
# Most stable first: a change of our own code is a small layer on a large one.
COPY --from=python /opt/mooring /opt/mooring
COPY --from=cri /out/ /
COPY --from=package /out/ /
COPY --from=plugin /out/ /
ENV PATH=/opt/mooring/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    HOME=/tmp \
    PYTHONUNBUFFERED=1
# Nobody. The agent's pod asks for root, because a node's network is root's.
USER 65532:65532
ENTRYPOINT ["mooring"]
