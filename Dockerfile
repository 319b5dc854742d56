# syntax=docker/dockerfile:1

FROM node:26.10.0-alpine AS dependencies
WORKDIR /app
ENV NODE_ENV=production
COPY package.json package-lock.json ./
RUN npm ci --omit=dev --ignore-scripts --no-audit --no-fund

FROM node:26.10.0-alpine
WORKDIR /app
ENV NODE_ENV=production
COPY --from=dependencies /app/node_modules ./node_modules
COPY package.json ./
COPY src ./src
COPY workers ./workers
RUN install -d -o node node_modules/.cache/key-value-cache
USER node
# Compiles what it runs, once and for all: a process that has to do it keeps 20 MiB for that as long as it lives.
RUN node src/main.ts --help
EXPOSE 7171
# Not with node: a second runtime every few seconds would count against the memory limit.
# It asks the address that is bound, whatever proxy the environment names; IPv6 addresses stand in brackets in a URL.
HEALTHCHECK --interval=10s --timeout=2s --start-period=5s --retries=3 \
  CMD case "$HOST" in \
        ''|0.0.0.0) host=127.0.0.1 ;; \
        ::|'[::]') host='[::1]' ;; \
        '['*) host="$HOST" ;; \
        *:*) host="[$HOST]" ;; \
        *) host="$HOST" ;; \
      esac; \
      wget -q -Y off --no-check-certificate -O /dev/null "http${TLS_CERT_FILE:+s}://$host:${PORT:-7171}/health"
# Not through npm, so that signals reach the server itself.
CMD ["node", "src/main.ts"]
