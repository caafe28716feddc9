/**
 * Which module may import which (the rooms of the design): topology ← plan ← merge, protocol ← services ← pg ← testing
 * ← examples and benchmarks. The pure folders import only each other and effect's data modules.
 *
 * Type imports count: a port that names a driver's type depends on the driver. `test/tooling/boundaries.test.ts` breaks
 * each rule once, so that none of them can silently match nothing.
 */

/** Modules of effect that hold data and functions, and run nothing. */
const dataModules = `
  Array BigDecimal BigInt Boolean Brand Chunk Data Either Encoding Equal Equivalence Function
  Hash HashMap HashSet Inspectable List Match MutableHashMap Number Option Order Ordering
  ParseResult Pipeable Predicate Record Schema SchemaAST SortedMap SortedSet String Struct Symbol
  Tuple Types Unify Utils
`
  .trim()
  .split(/\s+/)
  .join("|")

const pureEffect = `(^|/)node_modules/effect/(dist/dts|dist/esm|dist/cjs|src)/(${dataModules})\\.(d\\.ts|js|ts)$`
/** The errors are plain tagged data beside the services; plans carry refusals. */
const errors = "^packages/core/src/ShardError\\.ts$"
const core = (...folders) => `^packages/core/src/(${folders.join("|")})/`

const pure = (folder, ...below) => ({
  name: `pure-${folder}`,
  comment: `core/src/${folder} imports ${[folder, ...below].join(", ")} and effect's data modules, nothing else`,
  severity: "error",
  from: { path: core(folder) },
  to: {
    pathNot: [core(folder, ...below), ...(folder === "topology" ? [] : [errors]), pureEffect],
    couldNotResolve: false
  }
})

const rooms = ["packages/core", "packages/pg", "packages/testing", "examples", "benchmarks"]

const notTo = (name, comment, from, to) => ({
  name,
  comment,
  severity: "error",
  from: { path: from },
  to: { path: to }
})

/** @type {import("dependency-cruiser").IConfiguration} */
export default {
  forbidden: [
    pure("topology"),
    pure("plan", "topology"),
    pure("merge", "topology", "plan"),
    pure("protocol", "topology", "plan"),
    {
      name: "pure-errors",
      comment: "ShardError is data: it imports topology and effect's data modules",
      severity: "error",
      from: { path: errors },
      to: { pathNot: [core("topology"), pureEffect], couldNotResolve: false }
    },
    {
      name: "core-only-effect",
      comment: "core knows no SQL dialect, no driver and no platform",
      severity: "error",
      from: { path: "^packages/core/src/" },
      to: {
        pathNot: [
          "^packages/core/src/",
          "(^|/)node_modules/(effect|@effect/sql|@effect/experimental|@effect/platform)/"
        ],
        couldNotResolve: false
      }
    },
    {
      name: "one-fiber-ref",
      comment: "only ShardContext knows FiberRef, so that a port to Effect 4 stays small",
      severity: "error",
      from: { path: "^packages/core/src/", pathNot: "^packages/core/src/ShardContext\\.ts$" },
      to: { path: "(^|/)node_modules/effect/.*/FiberRef\\.(d\\.ts|js|ts)$" }
    },
    notTo(
      "pg-not-up",
      "pg comes before testing, examples and benchmarks",
      "^packages/pg/src/",
      "^(packages/testing|examples|benchmarks)/"
    ),
    notTo(
      "testing-not-up",
      "testing comes before examples and benchmarks",
      "^packages/testing/src/",
      "^(examples|benchmarks)/"
    ),
    notTo(
      "examples-apart",
      "an example reads like a user's program: packages only",
      "^examples/",
      "^(benchmarks|scripts)/"
    ),
    notTo(
      "no-test-in-source",
      "a published module does not import a test",
      "^packages/[^/]+/src/",
      "(^|/)(test|scripts)/|\\.test\\.ts$"
    ),
    ...rooms.flatMap((room) => [
      {
        name: "internal-stays-inside",
        comment: "internal modules are closed to other packages",
        severity: "error",
        from: { path: `^${room}/` },
        to: { path: "^packages/.+/internal/", pathNot: `^${room}/` }
      },
      {
        name: "packages-by-name",
        comment: "another package is imported by its name, not by a path into it (tests may share helpers)",
        severity: "error",
        from: { path: `^${room}/` },
        to: { path: "^packages/[^/]+/src/", pathNot: `^${room}/`, dependencyTypesNot: ["aliased"] }
      }
    ]),
    {
      name: "declared-dependencies",
      comment: "what a published module imports stands in its package's dependencies or peerDependencies",
      severity: "error",
      from: { path: "^packages/[^/]+/src/" },
      to: {
        dependencyTypes: ["npm-dev", "npm-no-pkg", "npm-unknown", "npm-optional", "npm-bundled"],
        // An optional peer, which is taken for no dependency for what peerDependenciesMeta says of it.
        pathNot: "(^|/)node_modules/vitest/"
      }
    },
    {
      name: "resolvable",
      comment: "an import that leads nowhere",
      severity: "error",
      from: {},
      to: { couldNotResolve: true }
    },
    { name: "no-cycles", comment: "modules form no ring", severity: "error", from: {}, to: { circular: true } }
  ],
  options: {
    doNotFollow: { path: "node_modules" },
    exclude: { path: "^(packages/)?[^/]+/dist/|/fixtures/" },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: "tsconfig.json" },
    detectJSDocImports: false,
    enhancedResolveOptions: {
      exportsFields: ["exports"],
      conditionNames: ["import", "types", "node", "default"],
      mainFields: ["module", "main", "types"]
    }
  }
}
