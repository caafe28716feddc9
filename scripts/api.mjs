/**
 * Writes docs/api, the reference of the packages' modules, out of their doc comments: a page for each module that a package's
 * index names, below the package's own. The site is built with it; it is not committed.
 */
import { readFileSync, rmSync } from "node:fs"
import { dirname, join, relative, resolve } from "node:path"
import { Application, Comment, Converter } from "typedoc"
import { root } from "./doc-blocks.mjs"

const packages = ["core", "pg", "testing"]
const out = join(root, "docs/api")

/** The modules of a package: `{ file, name }`, the name as the index has it. */
const modulesOf = (name) => {
  const index = join(root, "packages", name, "src/index.ts")
  const text = readFileSync(index, "utf8")
  return [...text.matchAll(/^export \* as (\w+) from "(.+)\.js"$/gm)].map(([, module, path]) => ({
    file: resolve(dirname(index), `${path}.ts`),
    name: `${name}/${module}`
  }))
}

const modules = [
  ...packages.flatMap(modulesOf),
  { file: join(root, "packages/testing/src/vitest.ts"), name: "testing/vitest" }
]
const nameOf = new Map(modules.map(({ file, name }) => [relative(root, file).replaceAll("\\", "/"), name]))

/** What a file begins with: its promise. */
const promiseOf = (file) => {
  const [, comment = ""] = /^\/\*\*\n([\s\S]*?) \*\//.exec(readFileSync(file, "utf8")) ?? []
  return comment
    .replace(/^ \* ?/gm, "")
    .replace(/^@[\s\S]*$/m, "")
    .trim()
}

const app = await Application.bootstrapWithPlugins({
  plugin: ["typedoc-plugin-markdown"],
  entryPoints: modules.map(({ file }) => file),
  tsconfig: join(root, "tsconfig.json"),
  basePath: root,
  name: "API reference",
  // Said in both ways: typedoc empties what it takes for its own, which is `docs` unless told otherwise.
  out,
  cleanOutputDir: false,
  outputs: [{ name: "markdown", path: out }],
  // `npm run check:types` says what does not compile.
  skipErrorChecking: true,
  readme: "none",
  disableSources: true,
  disableGit: true,
  excludeInternal: true,
  excludeExternals: true,
  excludeNotDocumented: false,
  hideBreadcrumbs: true,
  hidePageHeader: true,
  hideGroupHeadings: false,
  outputFileStrategy: "modules",
  entryFileName: "index",
  useCodeBlocks: true,
  useHTMLAnchors: true,
  expandParameters: true,
  indexFormat: "table",
  parametersFormat: "table",
  propertiesFormat: "table",
  interfacePropertiesFormat: "table",
  typeDeclarationFormat: "table",
  sort: ["source-order"],
  categorizeByGroup: false,
  notRenderedTags: ["@since", "@category"],
  validation: false,
  logLevel: "Warn"
})

app.converter.on(Converter.EVENT_RESOLVE_BEGIN, ({ project }) => {
  for (const module of project.children ?? []) {
    const source = module.sources?.[0]?.fullFileName
    const file = source === undefined ? `${module.name}.ts` : relative(root, source).replaceAll("\\", "/")
    const name = nameOf.get(file) ?? nameOf.get(`packages/${file}`)
    if (name === undefined) throw new Error(`what module is ${module.name} (${file})?`)
    module.name = name
    const text = promiseOf(join(root, file.startsWith("packages/") ? file : `packages/${file}`))
    const [folder, short] = name.split("/")
    const imported =
      short === "vitest" ? 'import "@shardlayer/testing/vitest"' : `import { ${short} } from "@shardlayer/${folder}"`
    const [first, ...rest] = text.split("\n\n")
    const comment = [first, `\`\`\`ts\n${imported}\n\`\`\``, ...rest].join("\n\n")
    module.comment = new Comment([{ kind: "text", text: comment }])
  }
})

rmSync(out, { recursive: true, force: true })
const project = await app.convert()
if (project === undefined) process.exit(1)
await app.generateOutputs(project)
console.log(`${modules.length} modules in ${relative(root, out)}`)
