/**
 * What the planner knows of the shards' schemas: plain values, read by `CatalogReader`, compared by `CatalogCheck`.
 *
 * Enters: one `ShardCatalog` a shard that answered. Leaves: lookups by name. Holds: names are those of the catalog,
 * letter for letter; builtin types are known by their oid, which all servers share, all others by name.
 *
 * @since 0.1.0
 */
import type { ShardId } from "@shardlayer/core/topology/ShardId"

/** @since 0.1.0 @category models */
export interface Column {
  readonly name: string
  /** As `format_type` prints it, with modifiers. */
  readonly type: string
  /** The type under all domains; below 16384 it is builtin and the same on all servers. */
  readonly base: number
  /** The modifier of that type, -1 for none. */
  readonly modifier: number
  /** `schema.name` of the column's own type when that is not builtin. */
  readonly userType: string | null
  readonly collation: Collation | null
  readonly notNull: boolean
  readonly default: string | null
  /** The default (or identity) takes a number from a sequence of the shard. */
  readonly sequence: boolean
  readonly identity: "" | "a" | "d"
  readonly generated: "" | "s" | "v"
}

/** @since 0.1.0 @category models */
export interface Collation {
  /** Null for one of PostgreSQL's own. */
  readonly schema: string | null
  readonly name: string
  /** Texts that it calls equal are the same, byte by byte. */
  readonly deterministic: boolean
  /** Provider, locale and version: for comparing shards. */
  readonly definition: string
}

/** @since 0.1.0 @category models */
export interface Index {
  readonly name: string
  /** Key columns; null for an expression. */
  readonly columns: ReadonlyArray<string | null>
  readonly unique: boolean
  readonly primary: boolean
  readonly exclusion: boolean
  /** It holds for some of the rows only, and others may join them without a change of its columns. */
  readonly partial: boolean
  /** The constraint it backs. */
  readonly constraint: string | null
}

/** @since 0.1.0 @category models */
export interface ForeignKey {
  readonly name: string
  readonly columns: ReadonlyArray<string>
  readonly schema: string
  readonly table: string
  readonly references: ReadonlyArray<string>
  /** PostgreSQL's letters: `a` no action, `r` restrict, `c` cascade, `n` set null, `d` set default. */
  readonly onUpdate: string
  readonly onDelete: string
  /** It is one partition's own: rows may come under it without a change of its columns. */
  readonly partial: boolean
}

/** @since 0.1.0 @category models */
export interface Trigger {
  readonly name: string
  readonly function: string
  /** Fires for each row: in partitions too, whatever table the statement names. */
  readonly row: boolean
  readonly insert: boolean
  readonly update: boolean
  readonly delete: boolean
}

/**
 * A policy of row security. `command`: `*` all, `r` SELECT, `a` INSERT, `w` UPDATE, `d` DELETE. Expressions are as the server
 * prints them, their names as the session's search path finds them.
 *
 * @since 0.1.0
 * @category models
 */
export interface Policy {
  readonly name: string
  readonly permissive: boolean
  readonly command: string
  readonly roles: ReadonlyArray<string>
  readonly using: string | null
  readonly check: string | null
  /** User functions that it calls. */
  readonly functions: ReadonlyArray<string>
  /** A table in it was locked, and it was not read. */
  readonly unread: boolean
}

/**
 * Whom row security concerns: `active` if the login of this session.
 *
 * @since 0.1.0
 * @category models
 */
export interface Security {
  readonly forced: boolean
  readonly owner: string
  readonly login: string
  readonly active: boolean
}

/**
 * A constraint, default, generated column or index, and the user functions it calls.
 *
 * @since 0.1.0
 * @category models
 */
export interface Caller {
  readonly object: string
  readonly functions: ReadonlyArray<string>
}

/**
 * A partition, however deep below the partitioned table.
 *
 * @since 0.1.0
 * @category models
 */
export interface Partition {
  /** `schema.name`, as all keys of relations. */
  readonly key: string
  readonly parent: string
  readonly kind: RelationKind
  /** `FOR VALUES …`, or `DEFAULT`. */
  readonly bound: string
  /** Its own partition key, where it is partitioned in turn. */
  readonly partitionKey: string | null
  /** The expressions of its generated columns, which may be others than its parent's. */
  readonly generated: ReadonlyArray<string>
}

/**
 * `r` table, `p` partitioned table, `v` view, `m` materialized view, `f` foreign table, `S` sequence, `c` composite type.
 *
 * @since 0.1.0
 * @category models
 */
export type RelationKind = "r" | "p" | "v" | "m" | "f" | "S" | "c"

/** @since 0.1.0 @category models */
export interface Relation {
  readonly schema: string
  readonly name: string
  readonly kind: RelationKind
  readonly rowSecurity: boolean
  /** Null without row security. */
  readonly security: Security | null
  readonly policies: ReadonlyArray<Policy>
  readonly isPartition: boolean
  /** The table that it is a partition of. */
  readonly parent: string | null
  /** The tables it inherits from, or is a partition of. */
  readonly parents: ReadonlyArray<string>
  readonly hasChildren: boolean
  /** All tables above it in its inheritance tree. */
  readonly ancestors: ReadonlyArray<string>
  /** All tables below it, whose rows are read and changed with its own. */
  readonly descendants: ReadonlyArray<string>
  /**
   * Read in full: what follows is complete, and of a partitioned table includes what its partitions add to it. Of
   * unlisted tables only the name is read, unless they may be used.
   */
  readonly detailed: boolean
  /** A partition's bound. */
  readonly bound: string | null
  /** A partitioned table's strategy and columns. */
  readonly partitionKey: string | null
  /** Of a partitioned table: a partition has row security. */
  readonly securedPartition: string | null
  /** A partitioned table's, at all levels. */
  readonly partitions: ReadonlyArray<Partition>
  /** A view's query, its names as the session's search path finds them; null where a table of it was locked. */
  readonly definition: string | null
  /** A view's options: `security_invoker=true`. */
  readonly options: ReadonlyArray<string>
  /** The relations that a view's query names. */
  readonly uses: ReadonlyArray<string>
  readonly columns: ReadonlyArray<Column>
  readonly indexes: ReadonlyArray<Index>
  readonly foreignKeys: ReadonlyArray<ForeignKey>
  /** Definitions of check constraints, by name: for comparing shards. */
  readonly checks: ReadonlyArray<{ readonly name: string; readonly definition: string }>
  readonly triggers: ReadonlyArray<Trigger>
  readonly rules: ReadonlyArray<string>
  readonly callers: ReadonlyArray<Caller>
}

/** @since 0.1.0 @category models */
export interface UserFunction {
  readonly schema: string
  readonly name: string
  readonly aggregate: boolean
  /** All of this name are immutable functions of extensions that are known to compute and nothing else. */
  readonly known: boolean
  /** One of them takes a domain. */
  readonly domains: boolean
}

/** @since 0.1.0 @category models */
export interface UserOperator {
  readonly schema: string
  readonly name: string
  readonly left: number
  readonly right: number
  /** `schema.name` of the function behind it. */
  readonly function: string
  /** Written in C or internal: an extension's, which does not read tables. */
  readonly native: boolean
  /** NULL in, NULL out. */
  readonly strict: boolean
  /** It takes a domain. */
  readonly domains: boolean
}

/** @since 0.1.0 @category models */
export interface UserCast {
  readonly source: string
  readonly target: string
  readonly function: string
}

/** @since 0.1.0 @category models */
export interface UserType {
  readonly schema: string
  readonly name: string
  /** This shard's oid: `Description` speaks of types by it. */
  readonly oid: number
  /** `b` base, `c` composite, `d` domain, `e` enum, `r` range, `m` multirange. */
  readonly kind: string
  /** The type under all domains, itself otherwise. */
  readonly base: number
  /** Enum labels in order, or a domain's definition: for comparing shards. */
  readonly definition: string
  /** User functions in a domain's checks. */
  readonly functions: ReadonlyArray<string>
  /** The type of its arrays. */
  readonly array: { readonly schema: string; readonly name: string; readonly oid: number } | null
  readonly collatable: boolean
  readonly notNull: boolean
  /** The collation that values of the type bring along, where that is not the database's. */
  readonly collation: Collation | null
}

/** @since 0.1.0 @category models */
export interface UserCollation {
  readonly collation: Collation
  /** PostgreSQL has one of this name, too. */
  readonly hidden: boolean
}

/**
 * A default operator class that a user or an extension has made: how values of a type are ordered, or told apart.
 *
 * @since 0.1.0
 * @category models
 */
export interface UserOrder {
  /** The type's oid on this shard. */
  readonly type: number
  readonly name: string
  /** Its functions that are not written in C. */
  readonly functions: ReadonlyArray<string>
}

/**
 * Builtin functions of one name: the worst volatility among them, and whether some of them aggregate.
 *
 * @since 0.1.0
 * @category models
 */
export interface Builtin {
  readonly volatility: "i" | "s" | "v"
  readonly aggregate: boolean
}

/**
 * What one shard's catalog says.
 *
 * @since 0.1.0
 * @category models
 */
export interface ShardCatalog {
  readonly shard: ShardId
  /** `server_version_num` */
  readonly version: number
  readonly encoding: string
  /** Settings that change what expressions print, and the database's locale. */
  readonly settings: { readonly [name: string]: string }
  readonly relations: ReadonlyMap<string, Relation>
  readonly functions: ReadonlyArray<UserFunction>
  readonly operators: ReadonlyArray<UserOperator>
  readonly casts: ReadonlyArray<UserCast>
  readonly types: ReadonlyArray<UserType>
  readonly collations: ReadonlyArray<UserCollation>
  readonly orders: ReadonlyArray<UserOrder>
  /** Types, by oid, whose casts from or to text call a function of a user's. */
  readonly recasts: ReadonlyArray<number>
  readonly builtins: ReadonlyMap<string, Builtin>
  /** The table of each index, both as `schema.name`. */
  readonly indexTables: ReadonlyMap<string, string>
  /** Relations of schemas pg_catalog and information_schema, as `schema.name`. */
  readonly system: ReadonlySet<string>
}

/** @since 0.1.0 @category getters */
export const key = (schema: string, name: string): string => `${schema}.${name}`

/**
 * The name as statements would mostly write it.
 *
 * @since 0.1.0
 * @category getters
 */
export const shown = (key: string): string => key.replace(/^public\./, "")

/**
 * Where the shard's sessions look for unqualified names.
 *
 * @since 0.1.0
 * @category getters
 */
export const searchPath = (catalog: ShardCatalog): ReadonlyArray<string> => {
  const path: unknown = JSON.parse(catalog.settings["search_path"] ?? "[]")
  return Array.isArray(path) ? path.filter((schema) => typeof schema === "string") : []
}

/** Oids from here on are given out by a server of its own accord. */
export const firstUserOid = 16384
