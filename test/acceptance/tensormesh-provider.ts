/**
 * What npm installs as the Tensormesh provider of the AI SDK. Where no registry has it under its name, a tarball made of its public
 * repository by `npm pack` may be named.
 */
export const TENSORMESH_PROVIDER =
  process.env.SLIPWAY_ACCEPTANCE_TENSORMESH_PROVIDER ?? "@tensormesh/ai-sdk-provider";
