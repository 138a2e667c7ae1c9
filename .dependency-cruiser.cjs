// Who may import whom. Domains are entered by their index.ts; only main builds things, and nothing imports main.
const domains =
  "audit|identity|oidc|openid-provider|idempotency|rate-limit|billing|models|catalog|support|weights|webhooks|mail|storage|gateway|jobs|observability|client|proof";

/** A folder of src and the folders of src that it may import, besides itself. */
const allowed = {
  base: [],
  db: ["base"],
  jobs: ["base", "db"],
  engines: ["base"],
  weights: ["base", "engines"],
  providers: ["base", "engines"],
  "llama-server": ["base", "engines"],
  identity: ["base", "db", "audit"],
  oidc: ["base", "db", "identity"],
  audit: ["base", "db"],
  "openid-provider": ["base", "db", "identity"],
  idempotency: ["base", "db"],
  "rate-limit": ["base", "db"],
  webhooks: ["base", "db", "identity"],
  mail: ["base", "db", "identity", "webhooks"],
  billing: ["base", "db", "jobs", "audit", "identity", "engines"],
  models: ["base", "db", "jobs", "identity", "billing", "engines", "providers", "weights"],
  catalog: ["base", "db", "audit", "identity", "billing", "models"],
  observability: ["base", "db", "identity", "models"],
  storage: ["base", "db", "identity", "models", "providers"],
  support: ["base", "db", "identity"],
  rpc: ["base", "audit", "identity"],
  gateway: ["base", "identity", "billing", "models", "catalog", "engines"],
  proof: ["base", "db", "identity", "billing", "gateway"],
  client: ["base"],
  cli: ["base", "client"],
};

const table = Object.entries(allowed).map(([folder, others]) => ({
  name: `${folder}-imports-only-what-it-may`,
  severity: "error",
  from: { path: `^src/${folder}/`, pathNot: "\\.test\\.ts$" },
  to: { path: "^src/", pathNot: `^src/(${[folder, ...others].join("|")})/` },
}));

module.exports = {
  forbidden: [
    ...table,
    {
      name: "domains-are-entered-by-their-door",
      comment: "Another domain's files are its own business: import its index.ts.",
      severity: "error",
      from: { path: "^src/([^/]+)/", pathNot: "(^src/main/)|(\\.test\\.ts$)" },
      to: { path: `^src/(${domains})/`, pathNot: `^src/$1/|^src/(${domains})/index\\.ts$` },
    },
    {
      name: "generated-code-only-at-the-edges",
      severity: "error",
      from: {
        path: "^src/",
        pathNot: "^src/(rpc|cli|client|main)/|/(rpc|convert)(/|\\.ts$|-)|\\.test\\.ts$",
      },
      to: { path: "^gen/" },
    },
    {
      name: "nothing-imports-main",
      severity: "error",
      from: { path: "^src/(?!main/)", pathNot: "\\.test\\.ts$" },
      to: { path: "^src/main/" },
    },
    {
      name: "no-cycles-between-folders",
      severity: "error",
      scope: "folder",
      from: {},
      to: { circular: true },
    },
    {
      name: "only-db-speaks-to-postgres",
      severity: "error",
      from: { path: "^src/(?!db/)" },
      to: { path: "node_modules/pg/" },
    },
    {
      name: "no-unlisted-packages",
      severity: "error",
      from: { path: "^src/", pathNot: "\\.test\\.ts$" },
      to: { dependencyTypes: ["npm-dev", "npm-no-pkg", "npm-unknown"] },
    },
  ],
  options: {
    exclude: { path: "/testing/|\\.test\\.ts$|^test/" },
    doNotFollow: { path: "node_modules|^gen/" },
    tsPreCompilationDeps: true,
    parser: "swc",
    enhancedResolveOptions: {
      exportsFields: ["exports"],
      conditionNames: ["import", "node", "default"],
      extensions: [".ts", ".js", ".d.ts"],
    },
  },
};
