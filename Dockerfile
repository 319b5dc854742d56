# syntax=docker/dockerfile:1

FROM node:26-alpine AS dependencies
WORKDIR /app
ENV NODE_ENV=production
COPY package.json package-lock.json ./
RUN npm ci --omit=dev --ignore-scripts --no-audit --no-fund

FROM node:26-alpine
WORKDIR /app
ENV NODE_ENV=production
COPY --from=dependencies /app/node_modules ./node_modules
COPY package.json ./
COPY src ./src
COPY workers ./workers
USER node
EXPOSE 7171
# Not with node: a second runtime every few seconds would count against the memory limit.
HEALTHCHECK --interval=10s --timeout=2s --start-period=5s --retries=3 \
  CMD wget -q --no-check-certificate -O /dev/null "http${TLS_CERT_FILE:+s}://127.0.0.1:${PORT:-7171}/health"
# Not through npm, so that signals reach the server itself.
CMD ["node", "src/main.ts"]
