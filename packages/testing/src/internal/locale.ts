// The order of texts that a server's databases have, and whether this machine knows it.
// Enters: a name; leaves: what initdb is told. Always: a libc locale that is not installed is named, never replaced by another.
import { spawnSync } from "node:child_process"
import { spawnOptions } from "./command.js"

/** `libc` is en_US.UTF-8 of the C library; behind a colon stands another name of its. */
export type Locale = "C" | "icu" | "libc" | `libc:${string}`

export const parse = (text: string): Locale | undefined => (isLocale(text) ? text : undefined)

const isLocale = (text: string): text is Locale =>
  text === "C" || text === "icu" || text === "libc" || /^libc:[\w.@-]+$/.test(text)

/** As in words: what is printed where a locale is used, or is not there. */
export const shown = (locale: Locale): string =>
  locale === "C" ? "C" : locale === "icu" ? "ICU en-US" : `libc ${nameOf(locale)}`

/**
 * The C library takes the name, and its texts are UTF-8. `locale -a` does not say so: it spells names in its own way, and
 * leaves out what LOCPATH adds.
 */
export const isInstalled = (locale: Locale): boolean => {
  const name = nameOf(locale)
  if (name === "C") return true
  const { env } = spawnOptions(undefined)
  const { stderr, stdout } = spawnSync("locale", ["charmap"], { env: { ...env, LC_ALL: name }, encoding: "utf8" })
  return stdout?.trim() === "UTF-8" && !stderr.includes("Cannot set")
}

export const initdbArguments = (locale: Locale): ReadonlyArray<string> => {
  const name = nameOf(locale)
  // Messages stay those of C.
  return [
    "--locale=C",
    ...(locale === "icu" ? ["--locale-provider=icu", "--icu-locale=en-US"] : []),
    ...(name === "C" ? [] : [`--lc-collate=${name}`, `--lc-ctype=${name}`])
  ]
}

const nameOf = (locale: Locale): string => {
  switch (locale) {
    case "C":
    case "icu":
      return "C"
    case "libc":
      return "en_US.UTF-8"
    default:
      return locale.slice("libc:".length)
  }
}
