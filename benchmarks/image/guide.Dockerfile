# What guides for Open-Sora and Docker build: one stage, the whole tree copied first, pip without a cache, packages in the order in which they
# were thought of. The same base, the same packages and the same versions as the role's image, so that only the construction differs; the
# mistakes that would break the build are left out.
ARG BASE_IMAGE
FROM ${BASE_IMAGE}
ARG PYTHON_VERSION
ARG PYTHON_INDEX_URL=""
COPY . /workspace
RUN cp /workspace/ca-certificates/* /usr/local/share/ca-certificates/ || true
RUN apt-get update && apt-get install -y build-essential ca-certificates cmake curl git libaio-dev libgl1 libglib2.0-0 ninja-build wget \
    "python${PYTHON_VERSION}" "python${PYTHON_VERSION}-dev" "python${PYTHON_VERSION}-venv" && update-ca-certificates
ENV PIP_CERT=/etc/ssl/certs/ca-certificates.crt GIT_SSL_CAINFO=/etc/ssl/certs/ca-certificates.crt PATH=/opt/venv/bin:${PATH}
RUN "python${PYTHON_VERSION}" -m venv /opt/venv
RUN pip install --no-cache-dir ${PYTHON_INDEX_URL:+--index-url "${PYTHON_INDEX_URL}"} --no-deps -r /workspace/torch.txt -r /workspace/torch-dependencies.txt
RUN pip install --no-cache-dir ${PYTHON_INDEX_URL:+--index-url "${PYTHON_INDEX_URL}"} --no-deps -r /workspace/requirements.txt
RUN pip install --no-cache-dir --no-deps --no-build-isolation /workspace/flash-attention-sdpa
RUN pip install --no-cache-dir --no-deps --no-build-isolation /workspace/application
WORKDIR /workspace/application
CMD ["/bin/bash"]
