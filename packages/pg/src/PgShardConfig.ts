/**
 * What a shard's connections are made from: the configuration of `@effect/sql-pg`, with what a shard needs beside it.
 *
 * Enters: a `PgShardConfig`. Leaves: `Settings`, with every default filled in, and the start-up options that pin a
 * session's output formats. Holds: two shards with equal settings print equal values as equal text, whatever
 * `ALTER ROLE … SET` and `ALTER DATABASE … SET` say on either.
 *
 * @since 0.1.0
 */
import type { PgClientConfig } from "@effect/sql-pg/PgClient"
import * as Config from "effect/Config"
import * as ConfigError from "effect/ConfigError"
import * as Duration from "effect/Duration"
import * as Either from "effect/Either"
import type * as Option from "effect/Option"
import * as Record from "effect/Record"
import * as Redacted from "effect/Redacted"
import * as Pg from "pg"
import * as ConnectionString from "pg-connection-string"

/**
 * @since 0.1.0
 * @category models
 */
export interface PgShardConfig extends PgClientConfig {
  /** What errors call this shard; `host:port/database` by default. */
  readonly shard?: string | undefined
  /** Start-up opens `minConnections` (at least one) and fails when it cannot. By default the first statement connects. */
  readonly eager?: boolean | undefined
  /** How long a statement waits for a connection of the pool, connecting included; 30 seconds. */
  readonly acquireTimeout?: Duration.DurationInput | undefined
  /** How long an interrupted statement waits for the server to let go of it, before its connection is destroyed; 1 second. */
  readonly cancelTimeout?: Duration.DurationInput | undefined
  /**
   * How long the answer to a command that begins, commits or settles a transaction is waited for, before its connection is
   * given up; 30 seconds. What is deferred to the commit runs in it.
   */
  readonly answerTimeout?: Duration.DurationInput | undefined
  /** `statement_timeout` of every session; the server's default when absent. */
  readonly statementTimeout?: Duration.DurationInput | undefined
  /** `search_path` of every session: schema names, or the setting's own text; `public` by default. */
  readonly searchPath?: string | ReadonlyArray<string> | undefined
  /** `TimeZone` of every session; `UTC` by default. */
  readonly timeZone?: string | undefined
  /** Named statements a connection keeps, least recently used out first; 0 for poolers that cannot hold them. Default 256. */
  readonly preparedStatements?: number | undefined
  /**
   * Connections of the pool that short reads may share, several of them on their way at once on each; 0: each statement
   * has one to itself. Default 2. Reads share none without `preparedStatements`.
   */
  readonly sharedConnections?: number | undefined
  /** Rows a stream asks for at a time. Default: 1,000 at first, then as many as come to 256 KiB, up to 4,000. */
  readonly streamRows?: number | undefined
}

/**
 * A shard's connections from configuration: what one finds under the names of the options, over `defaults`. `url` and
 * `password` are redacted, and no error shows them. Durations are written `5 seconds`, `ssl` and `eager` are booleans.
 *
 * `ConfigError` names the path: MissingData where neither `url` nor `host` nor `path` says where the server is, InvalidData
 * where a value is none for its option, or says beside a `url` what that says.
 *
 * @example
 * ```ts
 * import { PgShard, PgShardConfig } from "@shardlayer/pg"
 * import { Config, Effect, Layer } from "effect"
 *
 * // reports.url, reports.maxConnections, ...
 * const config = Config.nested(PgShardConfig.fromConfig({ applicationName: "reports" }), "reports")
 *
 * export const Reports = Layer.unwrapEffect(Effect.map(config, PgShard.layer))
 * ```
 *
 * @since 0.1.0
 * @category config
 */
export const fromConfig = (defaults: PgShardConfig = {}): Config.Config<PgShardConfig> =>
  Config.mapOrFail(Config.all(Record.map(options, optional)), (read) => {
    const own: PgShardConfig = Record.getSomes<string, unknown>(read)
    const twice = own.url === undefined ? undefined : addressed.find((name) => own[name] !== undefined)
    if (twice !== undefined) {
      return Either.left(ConfigError.InvalidData([twice], "Expected it to be in the url, or no url beside it"))
    }
    const isPlaced = own.url ?? own.host ?? own.path
    // A url outranks everything else that says where the server is: a common one would hide the shard's own host.
    const { url: commonUrl, ...common } = defaults
    const url = isPlaced === undefined ? commonUrl : own.url
    const config: PgShardConfig = { ...common, ...own, ...(url === undefined ? {} : { url }) }
    return (isPlaced ?? url ?? config.host ?? config.path ?? config.stream) === undefined
      ? Either.left(ConfigError.MissingData(["url"], "Expected a url, or host, database, username and password"))
      : Either.right(config)
  })

const optional = (config: Config.Config<unknown>): Config.Config<Option.Option<unknown>> => Config.option(config)

/** What a url says. */
const addressed = ["host", "port", "path", "database", "username", "password"] as const

const natural = (name: string, min: number): Config.Config<number> =>
  Config.validate(Config.integer(name), {
    message: `Expected ${min} or more`,
    validation: (value) => value >= min && value <= 2 ** 31 - 1
  })

/** It is taken apart here for the first time: what the driver says of a wrong one could quote it. */
const parsedUrl = Config.mapOrFail(Config.redacted(), (value) => {
  const invalid = Either.left(
    ConfigError.InvalidData([], "Expected a URL of the form postgres://user:password@host:port/database")
  )
  const text = Redacted.value(value)
  if (!/^(postgres(ql)?:\/\/|socket:|\/)/.test(text)) return invalid
  try {
    ConnectionString.parse(text)
    return Either.right(value)
  } catch (error) {
    const isFile = error instanceof Error && "syscall" in error
    return isFile ? Either.left(ConfigError.InvalidData([], `A file that the URL names: ${error.message}`)) : invalid
  }
})

/** By their names; the functions among them (`types`, `stream` and the like) are the program's to give. */
const options = {
  url: Config.nested(parsedUrl, "url"),
  host: Config.nonEmptyString("host"),
  port: Config.map(Config.port("port"), Number),
  path: Config.nonEmptyString("path"),
  database: Config.nonEmptyString("database"),
  username: Config.nonEmptyString("username"),
  password: Config.redacted("password"),
  ssl: Config.boolean("ssl"),
  applicationName: Config.string("applicationName"),
  maxConnections: natural("maxConnections", 1),
  minConnections: natural("minConnections", 0),
  connectTimeout: Config.duration("connectTimeout"),
  idleTimeout: Config.duration("idleTimeout"),
  connectionTTL: Config.duration("connectionTTL"),
  acquireTimeout: Config.duration("acquireTimeout"),
  cancelTimeout: Config.duration("cancelTimeout"),
  answerTimeout: Config.duration("answerTimeout"),
  statementTimeout: Config.duration("statementTimeout"),
  searchPath: Config.nonEmptyString("searchPath"),
  timeZone: Config.nonEmptyString("timeZone"),
  preparedStatements: natural("preparedStatements", 0),
  sharedConnections: natural("sharedConnections", 0),
  streamRows: natural("streamRows", 1),
  eager: Config.boolean("eager")
} satisfies { readonly [Name in keyof PgShardConfig]?: Config.Config<PgShardConfig[Name]> }

/**
 * A configuration with nothing left open.
 *
 * @since 0.1.0
 * @category models
 */
export interface Settings {
  readonly shard: string
  readonly eager: boolean
  readonly client: Pg.ClientConfig
  /** Where that leads, with the URL taken apart and the driver's own defaults filled in. */
  readonly address: Address
  /** The settings each session starts with. */
  readonly pinned: ReadonlyArray<readonly [name: string, value: string]>
  readonly connectionsMax: number
  readonly connectionsMin: number
  readonly acquireTimeoutMillis: number
  readonly cancelTimeoutMillis: number
  readonly answerTimeoutMillis: number
  readonly idleTimeoutMillis: number
  /** 0: connections do not age. */
  readonly lifetimeMillis: number
  readonly preparedMax: number
  readonly sharedMax: number
  readonly streamRows: number
  readonly streamRowsMax: number
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Address {
  readonly host: string
  readonly port: number
  readonly database: string
  readonly username: string
}

/**
 * What a pool needs to know. `lockTimeoutMillis` bounds the waits of its sessions for locks.
 *
 * @since 0.1.0
 * @category constructors
 */
export const settings = (config: PgShardConfig, lockTimeoutMillis?: number): Settings => {
  const pinned = pinnedSettings(config, lockTimeoutMillis)
  const client = clientConfig(config, pinned)
  const address = addressOf(client)
  return {
    shard: config.shard ?? `${address.host}:${address.port}/${address.database}`,
    address,
    eager: config.eager ?? false,
    client,
    pinned,
    connectionsMax: Math.max(1, config.maxConnections ?? 10),
    connectionsMin: Math.max(0, config.minConnections ?? 0),
    acquireTimeoutMillis: millis(config.acquireTimeout, 30_000),
    cancelTimeoutMillis: millis(config.cancelTimeout, 1_000),
    answerTimeoutMillis: millis(config.answerTimeout, 30_000),
    idleTimeoutMillis: millis(config.idleTimeout, 10_000),
    lifetimeMillis: millis(config.connectionTTL, 0),
    preparedMax: Math.max(0, config.preparedStatements ?? 256),
    sharedMax: Math.max(0, config.sharedConnections ?? 2),
    streamRows: Math.max(1, config.streamRows ?? 1_000),
    streamRowsMax: Math.max(1, config.streamRows ?? 4_000)
  }
}

/** The driver knows its defaults, environment variables included. A stream of the user's is not to be opened for that. */
const addressOf = (client: Pg.ClientConfig): Address => {
  const { database, host, port, user } = new Pg.Client({ ...client, stream: () => undefined })
  return { host, port, database: database ?? "", username: user ?? "" }
}

const millis = (input: Duration.DurationInput | undefined, otherwise: number): number =>
  input === undefined ? otherwise : Duration.toMillis(input)

const pinnedSettings = (
  config: PgShardConfig,
  lockTimeoutMillis: number | undefined
): ReadonlyArray<readonly [string, string]> => {
  const path = config.searchPath ?? "public"
  return [
    ["TimeZone", config.timeZone ?? "UTC"],
    ["DateStyle", "ISO, MDY"],
    ["IntervalStyle", "postgres"],
    ["bytea_output", "hex"],
    ["extra_float_digits", "1"],
    ["standard_conforming_strings", "on"],
    ["search_path", typeof path === "string" ? path : path.map(Pg.escapeIdentifier).join(", ")],
    ...(config.statementTimeout === undefined
      ? []
      : [["statement_timeout", String(Math.ceil(Duration.toMillis(config.statementTimeout)))] as const]),
    ...(lockTimeoutMillis === undefined ? [] : [["lock_timeout", String(lockTimeoutMillis)] as const])
  ]
}

/** Start-up options outrank the settings of role and database, and cost no round trip of their own. */
const clientConfig = (config: PgShardConfig, pinned: ReadonlyArray<readonly [string, string]>): Pg.ClientConfig => {
  const fromUrl: Record<string, unknown> =
    config.url === undefined ? {} : { ...ConnectionString.parse(Redacted.value(config.url)) }
  const userOptions = typeof fromUrl["options"] === "string" ? [fromUrl["options"]] : []
  const connectTimeoutMillis = millis(config.connectTimeout, 5_000)
  return {
    user: config.username,
    host: config.path ?? config.host,
    database: config.database,
    password: config.password === undefined ? undefined : Redacted.value(config.password),
    ssl: config.ssl,
    port: config.port,
    ...(config.stream === undefined ? {} : { stream: config.stream }),
    connectionTimeoutMillis: connectTimeoutMillis,
    application_name: config.applicationName ?? "shardlayer",
    types: config.types,
    // A peer that vanished without a word would otherwise hold its connection for hours.
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
    ...fromUrl,
    options: [...userOptions, ...pinned.map(([name, value]) => `-c ${name}=${escapeOption(value)}`)].join(" ")
  }
}

const escapeOption = (value: string): string => value.replace(/[\\\s]/g, "\\$&")
