# Slipway and its llama.cpp engine in one image; builds without a network but for the two registries.
FROM node:24-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --no-audit --no-fund
COPY . .
RUN npm run build

FROM node:24-bookworm-slim
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --omit=dev --no-audit --no-fund && npm cache clean --force
COPY --from=build /app/dist dist
COPY bin bin
COPY LICENSE ./
ENV NODE_ENV=production
# A number, so that Kubernetes can see that it is not root.
USER 65532:65532
ENTRYPOINT ["node", "/app/dist/src/main/cli.js"]
CMD ["serve"]
