/**
 * A topology as it is written: in the program, or in JSON. Nothing is checked here beyond the shape.
 *
 * The JSON form is the program's form, with keys as their canonical text. Properties that do not exist are refused, so
 * that a misspelt one is not silently ignored.
 */
import * as Schema from "effect/Schema"
import type * as Keyspace from "./Keyspace.js"
import type * as Table from "./Table.js"

/**
 * @since 0.1.0
 * @category models
 */
export interface Definition {
  readonly shards: ReadonlyArray<string>
  /** A power of two, fixed when the cluster is created. Default 16,384. */
  readonly slots?: number | undefined
  /** Ranges of slots, `to` not included. Default: the slots split evenly over the shards in the order given. */
  readonly slotMap?: ReadonlyArray<{ readonly from: number; readonly to: number; readonly shard: string }> | undefined
  /** Default 1. */
  readonly epoch?: number | undefined
  /** Default: the first shard. */
  readonly meta?: string | undefined
  /** Where tables live that are not listed. Default: they are refused. */
  readonly unlisted?: string | undefined
  /** User functions that read and write no table: `schema.function` or `schema.*`; a bare name is in `public`. */
  readonly pureFunctions?: ReadonlyArray<string> | undefined
  readonly keyspaces?: { readonly [name: string]: Keyspace.Definition } | undefined
  readonly tables?: { readonly [name: string]: Table.Definition } | undefined
}

const optional = <A, I>(schema: Schema.Schema<A, I>) => Schema.optional(schema)

const KeyDeclaration = Schema.Union(
  Schema.String,
  Schema.Struct({
    type: Schema.String,
    collation: optional(Schema.Struct({ name: Schema.String, deterministic: Schema.Boolean }))
  })
)

const Resolver = Schema.Union(
  Schema.Struct({ _tag: Schema.Literal("Hash") }),
  Schema.Struct({
    _tag: Schema.Literal("Range"),
    bounds: Schema.Array(
      Schema.Struct({ from: optional(Schema.Unknown), to: optional(Schema.Unknown), shard: Schema.String })
    )
  }),
  Schema.Struct({
    _tag: Schema.Literal("List"),
    entries: Schema.Array(Schema.Struct({ keys: Schema.Array(Schema.Unknown), shard: Schema.String })),
    otherwise: optional(Schema.String)
  }),
  Schema.Struct({ _tag: Schema.Literal("Lookup"), directory: Schema.String }),
  Schema.Struct({ _tag: Schema.Literal("Custom"), name: Schema.String })
)

const KeyspaceDefinition = Schema.Struct({
  key: Schema.Array(KeyDeclaration),
  resolver: Resolver,
  pins: optional(Schema.Array(Schema.Struct({ key: Schema.Unknown, shard: Schema.String })))
})

const Column = Schema.Union(Schema.String, Schema.Struct({ column: Schema.String, type: KeyDeclaration }))

const Generate = optional(
  Schema.Record({
    key: Schema.String,
    value: Schema.Union(
      Schema.Struct({ _tag: Schema.Literal("Snowflake") }),
      Schema.Struct({ _tag: Schema.Literal("SafeSnowflake") }),
      Schema.Struct({ _tag: Schema.Literal("Uuidv7") }),
      Schema.Struct({
        _tag: Schema.Literal("Sequence"),
        block: Schema.Number,
        start: Schema.Number,
        name: optional(Schema.String)
      })
    )
  })
)

const TableDefinition = Schema.Union(
  Schema.Struct({
    _tag: Schema.Literal("Sharded"),
    key: Schema.Union(
      Schema.String,
      Schema.Array(Column),
      Schema.Record({ key: Schema.String, value: KeyDeclaration })
    ),
    keyspace: Schema.String,
    acknowledge: optional(Schema.Array(Schema.String)),
    generate: Generate
  }),
  Schema.Struct({ _tag: Schema.Literal("Reference"), generate: Generate }),
  Schema.Struct({ _tag: Schema.Literal("Single"), shard: Schema.String })
)

const fields = Schema.Struct({
  shards: Schema.Array(Schema.String),
  slots: optional(Schema.Number),
  slotMap: optional(Schema.Array(Schema.Struct({ from: Schema.Number, to: Schema.Number, shard: Schema.String }))),
  epoch: optional(Schema.Number),
  meta: optional(Schema.String),
  unlisted: optional(Schema.String),
  pureFunctions: optional(Schema.Array(Schema.String)),
  keyspaces: optional(Schema.Record({ key: Schema.String, value: KeyspaceDefinition })),
  tables: optional(Schema.Record({ key: Schema.String, value: TableDefinition }))
}).annotations({
  identifier: "TopologyDefinition",
  parseOptions: { onExcessProperty: "error", errors: "all" }
})

/**
 * @since 0.1.0
 * @category models
 */
export interface DefinitionJson extends Schema.Schema.Type<typeof fields> {}

/**
 * @since 0.1.0
 * @category schemas
 */
export const schema: Schema.Schema<DefinitionJson> = fields
