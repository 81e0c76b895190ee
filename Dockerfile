# LakeAlbum with Java and the pinned jars inside, run by a user without rights:
#
#   docker build --build-arg COMMIT="$(git describe --always --dirty --exclude='*' --abbrev=12)" --tag lakealbum .
#   docker run --rm --volume "$PWD:/work" lakealbum demo
#
# .ci/image.sh checks it without Docker.
ARG PYTHON=3.13-slim-bookworm
ARG MAVEN=3.9-eclipse-temurin-17

FROM maven:${MAVEN} AS jars
COPY package/image.sh pom.xml /src/
RUN /src/image.sh jars /src/pom.xml /jars

FROM python:${PYTHON} AS environment
ARG COMMIT=
ENV LAKEALBUM_COMMIT=${COMMIT}
COPY . /src
RUN /src/package/image.sh wheel /src /wheels \
    && /src/package/image.sh environment /wheels /src/requirements.txt /opt/lakealbum

FROM python:${PYTHON}
# The distribution's Java 17 of the day: its security fixes are wanted, its versions do not stay in the archive.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends openjdk-17-jre-headless \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 10001 lakealbum \
    && install --directory --owner lakealbum /work
COPY --from=environment /opt/lakealbum /opt/lakealbum
COPY --from=jars /jars /opt/lakealbum/jars
ENV PATH=/opt/lakealbum/bin:${PATH} \
    LAKEALBUM_JARS=/opt/lakealbum/jars
USER 10001
WORKDIR /work
ENTRYPOINT ["lakealbum"]
CMD ["--help"]
