# One image for the nodes and for the steps that prepare a cluster. It holds no key, no certificate and no configuration.
#
# BASE is any Debian with python3 (3.11 or newer) and its venv; WHEELS is a folder inside the build context that holds
# every file of requirements/*.txt, for a build without a network.
ARG BASE=python:3.13.7-slim-bookworm

FROM ${BASE} AS build
ARG WHEELS=
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_NO_COMPILE=1
WORKDIR /src
COPY requirements requirements
# As `make setup` does it: everything by its hash, PySyncObj built from its source with tools that are hashed too.
RUN python3 -m venv /opt/tools && python3 -m venv /opt/strongroom \
 && if [ -n "${WHEELS}" ]; then printf '[global]\nno-index = true\nfind-links = /src/%s\n' "${WHEELS}" > /etc/pip.conf; fi \
 && /opt/tools/bin/pip install -q --only-binary :all: --require-hashes -r requirements/build.txt \
 && /opt/strongroom/bin/pip install -q --only-binary :all: --require-hashes -r requirements/build.txt \
 && /opt/strongroom/bin/pip install -q --no-build-isolation --only-binary :all: --no-binary pysyncobj \
      --require-hashes -r requirements/run.txt
COPY pyproject.toml README.md LICENSE ./
COPY cluster cluster
COPY node node
COPY chaos chaos
RUN /opt/tools/bin/pip wheel -q --no-build-isolation --no-deps -w /src/dist . \
 && /opt/strongroom/bin/pip install -q --no-index --no-deps dist/*.whl \
 && /opt/strongroom/bin/pip uninstall -q -y setuptools wheel hatchling editables pip

FROM ${BASE}
COPY --from=build /opt/strongroom /opt/strongroom
COPY deploy/compose/certs.sh deploy/compose/init.sh /opt/strongroom/compose/
# A new volume takes owner and mode from the folder that it covers.
RUN groupadd -g 10001 strongroom && useradd -u 10001 -g 10001 -M -d /nonexistent -s /usr/sbin/nologin strongroom \
 && mkdir -p -m 700 /var/lib/strongroom /etc/strongroom /operator \
      /out/authority /out/n1 /out/n2 /out/n3 /out/operator \
 && mkdir -p -m 750 /out/postgres \
 && chown -R 10001:10001 /var/lib/strongroom /etc/strongroom /operator /out
ENV PATH=/opt/strongroom/bin:/usr/local/bin:/usr/bin:/bin PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 10001:10001
ENTRYPOINT ["strongroom"]
CMD ["--help"]
