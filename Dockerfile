# The worker's image (target `worker`): a virtual environment, celery_app.py and worker/, run by a user without rights.
# The last stages add Flower (target `monitoring`); they come after the worker's, for a build of a target makes all before it.
ARG BASE_IMAGE=python:3.13-slim

FROM ${BASE_IMAGE} AS build
RUN python -m venv /venv
# Another package index, and the authority (PEM, as base64) that signed its certificate or the proxy's. Both are of this
# stage alone: an index's URL may hold a password, and the workers trust whom they did before.
ARG PIP_INDEX_URL
ARG BUILD_CA
COPY requirements.txt .
# printenv: BuildKit writes the value of a $BUILD_CA into what it shows
RUN printenv BUILD_CA | base64 -d >/build-ca.pem; if [ -s /build-ca.pem ]; then export PIP_CERT=/build-ca.pem; fi \
 && /venv/bin/pip install --no-cache-dir --disable-pip-version-check --requirement requirements.txt \
 && /venv/bin/pip uninstall --quiet --yes pip
WORKDIR /app
COPY celery_app.py .
COPY worker/ worker/
# hash-based: valid whatever the files' times become on their way through the layers
RUN /venv/bin/python -m compileall -q --invalidation-mode unchecked-hash /app

FROM ${BASE_IMAGE} AS worker
# no program that would run as another user than the one who starts it
RUN useradd --system --uid 10001 --no-create-home --home-dir /app --shell /usr/sbin/nologin worker \
 && find / -xdev -type f -perm /6000 -exec chmod a-s {} +
COPY --from=build /venv /venv
COPY --from=build /app /app
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1
WORKDIR /app
# Official images hold no compiled standard library, and the worker's root is read-only: without this
# every start compiles it anew. It also fails the build when the app cannot be imported.
RUN python -c "import celery_app, celery.bin.worker, celery.apps.worker, celery.concurrency.prefork, kombu.transport.pyamqp"
ENV PYTHONDONTWRITEBYTECODE=1
USER 10001
CMD ["celery", "-A", "celery_app", "worker"]

FROM build AS monitoring-build
ARG PIP_INDEX_URL
COPY deploy/monitoring/requirements.txt .
RUN if [ -s /build-ca.pem ]; then export PIP_CERT=/build-ca.pem; fi \
 && /venv/bin/python -m ensurepip >/dev/null \
 && /venv/bin/python -m pip install --no-cache-dir --disable-pip-version-check --requirement requirements.txt \
 && /venv/bin/python -m pip uninstall --quiet --yes pip

FROM worker AS monitoring
COPY --from=monitoring-build /venv /venv
COPY deploy/monitoring/flowerconfig.py .
CMD ["celery", "-A", "celery_app", "flower"]
