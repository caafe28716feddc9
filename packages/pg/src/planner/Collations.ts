/**
 * Names of collations, and what is known of them.
 *
 * Enters: the catalogs of the shards, where names are looked for. Leaves: what COLLATE with a name means, and the
 * collations that domains bring along. Holds: byte by byte order only those that PostgreSQL itself orders so, whatever
 * the machine: C, POSIX, and the builtin provider's. A C.UTF-8 of the C library is that library's word, and no proof.
 *
 * @since 0.1.0
 */
import * as Array from "effect/Array"
import type { Collation } from "./analysis/Model.js"
import type * as Catalog from "./Catalog.js"

/** @since 0.1.0 @category constructors */
export const make = (catalogs: ReadonlyArray<Catalog.ShardCatalog>, searchPath: ReadonlyArray<string>) => {
  const all = catalogs.flatMap((catalog) => catalog.collations)
  const types = catalogs.flatMap((catalog) => catalog.types).filter(({ collation }) => collation !== null)
  const isDefaultBytewise = isBytewiseLocale(catalogs[0]?.settings["locale"] ?? "")
  return {
    collation: (names: ReadonlyArray<string>): Collation => named(all, searchPath, names),
    isBytewise: ({ name, schema }: Collation): boolean =>
      schema === null && (name === "default" ? isDefaultBytewise : bytewise.has(name)),
    typeCollations: (names: ReadonlyArray<string> | undefined): ReadonlyArray<Collation> => {
      const found = types.flatMap(({ collation, name, schema }) => {
        const isMeant =
          names === undefined || (names.at(-1) === name && (names.length === 1 || names.at(-2) === schema))
        return isMeant && collation !== null ? [collation] : []
      })
      return Array.dedupeWith(found, isSame)
    }
  }
}

/** @since 0.1.0 @category guards */
export const isSame = (one: Collation, other: Collation): boolean =>
  one.schema === other.schema && one.name === other.name && one.deterministic === other.deterministic

const bytewise = new Set(["C", "POSIX", "ucs_basic", "pg_c_utf8", "pg_unicode_fast"])

/** Builtin names come first, unless the search path says otherwise. */
const named = (
  all: ReadonlyArray<Catalog.UserCollation>,
  searchPath: ReadonlyArray<string>,
  names: ReadonlyArray<string>
): Collation => {
  const name = names.at(-1) ?? ""
  const schema = names.length > 1 ? (names.at(-2) ?? null) : null
  if (schema !== null && schema !== "pg_catalog") return ofUser(all, schema, name)
  const builtin = { schema: null, name, deterministic: name === "default" || bytewise.has(name) }
  if (schema !== null) return builtin
  const users = all.filter((each) => each.collation.name === name)
  const isHidden = builtin.deterministic || users.some(({ hidden }) => hidden)
  const before = isHidden ? searchPath.slice(0, Math.max(searchPath.indexOf("pg_catalog"), 0)) : searchPath
  const found = before.find((candidate) => users.some(({ collation }) => collation.schema === candidate))
  return found === undefined ? builtin : ofUser(all, found, name)
}

const ofUser = (all: ReadonlyArray<Catalog.UserCollation>, schema: string, name: string): Collation => {
  const found = all.filter(({ collation }) => collation.schema === schema && collation.name === name)
  return { schema, name, deterministic: found.length > 0 && found.every(({ collation }) => collation.deterministic) }
}

/** Provider and collation as `CatalogQuery` gives them. The builtin provider orders by code points whatever its name. */
const isBytewiseLocale = (locale: string): boolean => {
  const [provider, collation] = locale.split(" ")
  return provider === "b" || (provider === "c" && (collation === "C" || collation === "POSIX"))
}
