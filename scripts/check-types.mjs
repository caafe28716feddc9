/**
 * `npm run check:types`: type errors and the Effect plugin's diagnostics, over sources, tests and the examples of the docs.
 * One language service gives both: apart they took thrice as long.
 *
 * An example is a `ts` block of a page or of a doc comment, with what stands in a comment ahead of it (doc-blocks.mjs). Each
 * becomes a module in `.tmp/doc-examples`, where unused names are allowed, and its errors are told at their source.
 */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join, relative } from "node:path"
import effectService from "@effect/language-service"
import ts from "typescript"
import { blocksOfPage, blocksOfSource, lineOf, moduleOf, pages, root, sources } from "./doc-blocks.mjs"

const target = join(root, ".tmp/doc-examples")
const examples = [...pages().flatMap(blocksOfPage), ...sources().flatMap(blocksOfSource)].filter(
  ({ language, resolvedAs }) => language === "ts" && resolvedAs === undefined
)

rmSync(target, { recursive: true, force: true })
mkdirSync(target, { recursive: true })
examples.forEach((block, index) => writeFileSync(join(target, `example${index}.ts`), moduleOf(block)))
const { include } = JSON.parse(readFileSync(join(root, "tsconfig.json"), "utf8"))
const config = { extends: "../../tsconfig.json", include: [...include.map((glob) => `../../${glob}`), "*.ts"] }
writeFileSync(join(target, "tsconfig.json"), JSON.stringify(config))

const read = ts.readConfigFile(join(target, "tsconfig.json"), ts.sys.readFile)
const { options, fileNames, errors } = ts.parseJsonConfigFileContent(read.config, ts.sys, target)

const host = {
  getCompilationSettings: () => options,
  getScriptFileNames: () => fileNames,
  getScriptVersion: () => "1",
  getScriptSnapshot: (name) => {
    const text = ts.sys.readFile(name)
    return text === undefined ? undefined : ts.ScriptSnapshot.fromString(text)
  },
  getCurrentDirectory: () => root,
  getDefaultLibFileName: ts.getDefaultLibFilePath,
  fileExists: ts.sys.fileExists,
  readFile: ts.sys.readFile,
  readDirectory: ts.sys.readDirectory,
  directoryExists: ts.sys.directoryExists,
  getDirectories: ts.sys.getDirectories,
  realpath: ts.sys.realpath
}
const plain = ts.createLanguageService(host)
const plugin = options.plugins.find(({ name }) => name === "@effect/language-service")
const project = { log: () => {} }
const service = effectService({ typescript: ts }).create({ languageService: plain, config: plugin, project })
const program = service.getProgram()

const found = [
  ...errors,
  ...program.getOptionsDiagnostics(),
  ...program.getGlobalDiagnostics(),
  ...fileNames.flatMap((name) => [...service.getSyntacticDiagnostics(name), ...service.getSemanticDiagnostics(name)])
]

/** Errors of unused names are TS6133, TS6192, TS6196, TS6198 and TS6199. */
const unused = new Set([6133, 6192, 6196, 6198, 6199])
const { Error: error, Warning: warning } = ts.DiagnosticCategory

const told = found.flatMap(({ file, start, code, category, messageText }) => {
  if (category !== error && category !== warning) return []
  const message = `${category === warning ? "warning" : "error"} TS${code}: ${ts.flattenDiagnosticMessageText(messageText, "\n")}`
  if (file === undefined) return [message]
  const { line, character } = file.getLineAndCharacterOfPosition(start)
  const example = /doc-examples\/example(\d+)\.ts$/.exec(file.fileName.replaceAll("\\", "/"))
  if (example === null) return [`${relative(root, file.fileName)}(${line + 1},${character + 1}): ${message}`]
  if (category === warning || unused.has(code)) return []
  const block = examples[Number(example[1])]
  return [`${block.path} (example)(${lineOf(block, line + 1)},${character + 1}): ${message}`]
})
rmSync(target, { recursive: true, force: true })
if (told.length > 0) {
  console.log(told.join("\n"))
  process.exit(1)
}
console.log(
  `${fileNames.length - examples.length} sources and tests and ${examples.length} examples of the docs compile`
)
