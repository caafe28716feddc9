/**
 * Runs bound plans: structured, bounded, first failure interrupts the siblings.
 *
 * Enters: a `BoundPlan`, the transaction of the fiber if there is one, the policy in force, text and params. Leaves: rows
 * in the form the operation asks for. Holds: inside a transaction its participants are read and written in their
 * sessions; one statement never writes several shards; what the policy says is said of each shard by itself.
 *
 * @since 0.1.0
 */
import type { Row } from "@effect/sql/SqlConnection"
import * as Array from "effect/Array"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { IdsService } from "./Ids.js"
import { upTo } from "./internal/sideBySide.js"
import type { Operation } from "./LightStatement.js"
import type { BoundPlan, BoundStep } from "./plan/Bind.js"
import type { Fragment, Merge, TextRow } from "./plan/Merge.js"
import type { Level } from "./LocalTransaction.js"
import * as Partial from "./Partial.js"
import type { Policy } from "./Policy.js"
import type * as ReadView from "./ReadView.js"
import type { RowPage } from "./merge/RowPage.js"
import type * as Parts from "./scatter/Parts.js"
import * as Feed from "./scatter/Feed.js"
import * as ScatterMatch from "./ScatterMatch.js"
import * as ScatterMerge from "./ScatterMerge.js"
import * as ScatterMove from "./ScatterMove.js"
import type * as SchemaChanges from "./SchemaChanges.js"
import * as ScatterWrite from "./ScatterWrite.js"
import * as Sequence from "./Sequence.js"
import * as ShardCall from "./ShardCall.js"
import { type ShardConnection, type ShardDriver, type TextResult, unbounded } from "./ShardConnection.js"
import { CrossShardTransaction, type ShardError } from "./ShardError.js"
import type { ShardManagerService } from "./ShardManager.js"
import type { ShardId } from "./topology/ShardId.js"

/**
 * How a statement of this fiber runs.
 *
 * @since 0.1.0
 * @category models
 */
export interface Terms {
  readonly transaction: Level | undefined
  readonly policy: Policy
  /** The view of several shards that it reads in, outside of a transaction. */
  readonly view?: ReadView.ReadView | undefined
  /** It does not ask for the time: beside a transaction it would be another one. */
  readonly isTimeless?: boolean
  /** How the answers of several shards are put together. */
  readonly merge?: Merge
}

/** @since 0.1.0 @category models */
export interface Executor {
  readonly run: (
    bound: BoundPlan,
    terms: Terms,
    operation: Operation,
    sql: string,
    params: ReadonlyArray<unknown>
  ) => Effect.Effect<any, ShardError>
  /** A text that was not planned, on the shard that it was given for. */
  readonly runOn: (
    shard: ShardId,
    terms: Terms,
    operation: Operation,
    sql: string,
    params: ReadonlyArray<unknown>
  ) => Effect.Effect<any, ShardError>
  readonly stream: (
    bound: BoundPlan,
    terms: Terms,
    sql: string,
    params: ReadonlyArray<unknown>,
    form?: ScatterMerge.Form
  ) => Stream.Stream<any, ShardError>
  readonly streamOn: (
    shard: ShardId,
    terms: Terms,
    sql: string,
    params: ReadonlyArray<unknown>,
    form?: ScatterMerge.Form
  ) => Stream.Stream<any, ShardError>
  /** A read that rows of some shards alone may answer (`Partial.refusal`), outside of transactions. */
  readonly partial: (
    bound: BoundPlan,
    policy: Policy,
    sql: string,
    params: ReadonlyArray<unknown>
  ) => Effect.Effect<Partial.PartialRows<any>, ShardError>
}

/** @since 0.1.0 @category models */
export interface Options {
  readonly manager: ShardManagerService
  /** Of what one statement may hold in memory (`ScatterMerge`). */
  readonly limits: Parts.Limits
  /** Undefined where nothing is ever committed over several shards. */
  readonly views: ReadView.ReadViews | undefined
  /** The shards of keys, one each. */
  readonly ownersOf: Feed.OwnersOf
  /** What draws generated ids. */
  readonly ids: IdsService | undefined
  readonly changes: SchemaChanges.SchemaChanges
  /** Runs in a transaction of its own. */
  readonly transacting: <A>(use: (level: Level) => Effect.Effect<A, ShardError>) => Effect.Effect<A, ShardError>
}

/** @since 0.1.0 @category constructors */
export const make = (options: Options): Executor => new ShardExecutor(options)

type Form = ShardCall.Form

type Written = Extract<BoundPlan, { readonly _tag: "Written" }>

type Sequenced = Extract<BoundPlan, { readonly _tag: "Sequenced" }>

type Read = Exclude<BoundPlan, { readonly _tag: "Written" | "Sequenced" | "Changed" | "Listed" }>

const isRead = (bound: BoundPlan): bound is Read =>
  bound._tag !== "Written" && bound._tag !== "Sequenced" && bound._tag !== "Changed" && bound._tag !== "Listed"

/** What is known of a statement beside its text. */
type Known = Terms & Pick<ShardCall.Call, "access">

class ShardExecutor implements Executor {
  private turn = 0

  constructor(private readonly options: Options) {}

  readonly run: Executor["run"] = (bound, terms, operation, sql, params) => {
    switch (bound._tag) {
      case "Written":
        return this.runWrite(bound, terms, operation, sql, params)
      case "Sequenced":
        return this.runSequence(bound, terms, operation, params)
      case "Changed":
        return this.options.changes.run({ ...bound, sql }, terms, operation)
      case "Listed":
        throw new Error("the statements of a list are run one by one")
      case "AnyShard":
      case "OneShard":
      case "Concatenated":
      case "Merged":
        return this.runRead(bound, terms, operation, sql, params)
    }
  }

  /** Or what one shard does by itself. */
  private runRead(
    bound: Read,
    terms: Terms,
    form: Form,
    sql: string,
    params: ReadonlyArray<unknown>
  ): Effect.Effect<any, ShardError> {
    const { transaction } = terms
    switch (bound._tag) {
      case "OneShard": {
        const inside = this.runOne(bound.shard, known(terms, bound.access), form, sql, params)
        if (transaction === undefined || bound.access !== "read") return inside
        return Effect.suspend(() =>
          isElsewhere(transaction, bound.shard) && transaction.settings() === "none"
            ? this.beside(terms, [bound.shard], (own) =>
                this.runOne(bound.shard, partOf(own, bound.shard), form, sql, params)
              )
            : inside
        )
      }
      case "AnyShard":
        return this.runAnywhere(known(terms, bound.access), form, sql, params)
      case "Concatenated":
        return this.beside(terms, bound.shards, (own) => this.runConcatenated(bound.shards, own, form, sql, params))
      case "Merged":
        return this.beside(timelessly(terms, bound.merge), bound.shards, (own) =>
          Effect.suspend(() =>
            ScatterMerge.run(this.merging(own), this.requestOf(bound, transaction, sql, params), form)
          )
        )
    }
  }

  private runWrite(
    bound: Written,
    terms: Terms,
    form: Form,
    sql: string,
    params: ReadonlyArray<unknown>
  ): Effect.Effect<any, ShardError> {
    const { ids, limits, ownersOf } = this.options
    const { policy } = terms
    const { action } = bound.write
    const request: ScatterWrite.Request = { ...bound, sql, params }
    switch (action._tag) {
      case "Each":
      case "Copies":
      case "Rows":
        return this.inTransaction(terms, (level) => ScatterWrite.run(level, policy, request, form))
      case "Merged":
        return this.inTransaction(terms, (level) =>
          ScatterWrite.joined(
            level,
            bound.shards,
            this.mergeWritten(action.merge, bound.shards, { policy, transaction: level }, form, sql, params)
          )
        )
      case "Move":
        return this.inTransaction(terms, (level) =>
          ScatterMove.run(level, policy, { ...request, action, limits, ownersOf }, form)
        )
      case "Feed":
        return this.readFirst(bound, terms, action.read, params, (texts, now) =>
          Effect.flatMap(Feed.placed({ ...request, action, ids, limits, ownersOf }, texts), (placed) =>
            this.inTransaction(terms, (level) => ScatterWrite.run(level, policy, { ...request, ...placed, now }, form))
          )
        )
      case "Match":
        return this.readFirst(bound, terms, action.read, params, (texts, now) =>
          this.inTransaction(terms, (level) =>
            ScatterMatch.run(level, policy, { ...request, action, texts, now, limits, ownersOf }, form)
          )
        )
    }
  }

  /**
   * Steps in one transaction: each is a statement of its own, that takes the rows of those before it as arrays. Once one has
   * begun, a failure of any takes back all of them.
   */
  private runSequence(
    { now: asked, shards, steps, tables }: Sequenced,
    terms: Terms,
    operation: Operation,
    params: ReadonlyArray<unknown>
  ): Effect.Effect<any, ShardError> {
    const { limits } = this.options
    const run = (level: Level): Effect.Effect<unknown, ShardError> => {
      const inside = { ...terms, transaction: level }
      const step = ({ bound, gives, statement, timed }: BoundStep, given: Sequence.Given) =>
        this.runStep(
          bound,
          { ...inside, isTimeless: !timed },
          Sequence.formOf(gives, operation, limits),
          statement.sql,
          Sequence.paramsOf(statement, given)
        )
      const moment = this.momentOf({ shards, now: asked }, inside)
      const answer = Effect.flatMap(moment, (now) => Sequence.run({ steps, params, now, tables, limits }, step))
      return Effect.onError(answer, () => level.doom)
    }
    return this.inTransaction(terms, run)
  }

  private runStep(
    bound: BoundPlan,
    terms: Terms,
    form: Form,
    sql: string,
    params: ReadonlyArray<unknown>
  ): Effect.Effect<any, ShardError> {
    if (isRead(bound)) return this.runRead(bound, terms, form, sql, params)
    if (bound._tag === "Written") return this.runWrite(bound, terms, form, sql, params)
    throw new Error(`a step of a statement is ${bound._tag}`)
  }

  /** The rows that a write takes, and the moment that all of it has. */
  private readFirst<A>(
    bound: Written,
    terms: Terms,
    read: Fragment,
    params: ReadonlyArray<unknown>,
    use: (texts: TextResult, now: string | null) => Effect.Effect<A, ShardError>
  ): Effect.Effect<A, ShardError> {
    const { source } = bound
    if (source === undefined || !isRead(source)) throw new Error("rows are read by a read")
    return Effect.flatMap(this.momentOf({ shards: bound.shards, now: bound.write.now }, terms), (now) => {
      const given: Effect.Effect<TextResult, ShardError> = this.runRead(
        source,
        { ...terms, isTimeless: true },
        { _tag: "Texts", bound: this.options.limits },
        read.sql,
        ScatterWrite.paramsOf(read, { params, now, rows: [] })
      )
      return Effect.flatMap(given, (texts) => use(texts, now))
    })
  }

  private inTransaction<A>(
    { transaction }: Terms,
    use: (level: Level) => Effect.Effect<A, ShardError>
  ): Effect.Effect<A, ShardError> {
    return transaction === undefined
      ? this.options.transacting(use)
      : Effect.zipRight(transaction.stillOpen, use(transaction))
  }

  /** Of a statement that reads before its transaction begins, unless that has begun. */
  private momentOf(
    { now, shards }: { readonly now: string | undefined; readonly shards: ReadonlyArray<ShardId> },
    terms: Terms
  ): Effect.Effect<string | null, ShardError> {
    if (now === undefined) return Effect.succeed(null)
    const { policy, transaction } = terms
    const shard = transaction?.shard() ?? firstOf(shards)
    const inside = transaction === undefined ? terms : { ...terms, policy: { ...policy, retry: undefined } }
    const texts: Effect.Effect<TextResult, ShardError> = this.runOne(
      shard,
      known(inside, "read"),
      { _tag: "Texts", bound: unbounded },
      now,
      []
    )
    return Effect.map(texts, ({ rows }) => rows[0]?.[0] ?? null)
  }

  readonly stream: Executor["stream"] = (bound, terms, sql, params, form = "objects") => {
    const { transaction } = terms
    switch (bound._tag) {
      case "OneShard": {
        const inside = this.streamOne(bound.shard, known(terms, bound.access), sql, params, form)
        if (transaction === undefined || bound.access !== "read") return inside
        return Stream.suspend(() =>
          isElsewhere(transaction, bound.shard) && transaction.settings() === "none"
            ? this.streamBeside(terms, [bound.shard], (own) =>
                this.streamOne(bound.shard, partOf(own, bound.shard), sql, params, form)
              )
            : inside
        )
      }
      case "AnyShard":
        return this.streamAnywhere(known(terms, bound.access), sql, params, form)
      case "Concatenated":
        return this.streamBeside(terms, bound.shards, (own) =>
          this.streamConcatenated(bound.shards, own, sql, params, form)
        )
      case "Merged":
        return this.streamBeside(timelessly(terms, bound.merge), bound.shards, (own) =>
          Stream.suspend(() =>
            ScatterMerge.stream(this.merging(own), this.requestOf(bound, transaction, sql, params), form)
          )
        )
      case "Listed":
        throw new Error("the statements of a list are run one by one")
      case "Changed":
      case "Written":
      case "Sequenced":
        return Stream.unwrap(
          Effect.map(this.run(bound, terms, "execute", sql, params), (rows: ReadonlyArray<Row>) =>
            Stream.fromIterable(rows)
          )
        )
    }
  }

  readonly runOn: Executor["runOn"] = (shard, terms, form, sql, params) =>
    this.runOne(shard, known(terms, "unknown"), form, sql, params)

  readonly streamOn: Executor["streamOn"] = (shard, terms, sql, params, form) =>
    this.streamOne(shard, known(terms, "unknown"), sql, params, form)

  readonly partial: Executor["partial"] = (bound, policy, sql, params) => {
    const terms: Known = { transaction: undefined, policy, access: "read" }
    switch (bound._tag) {
      case "AnyShard":
        return Effect.map(this.runAnywhere(terms, "execute", sql, params), (rows) => ({ rows, missing: [] }))
      case "OneShard":
        return this.partialOf([bound.shard], terms, sql, params)
      case "Concatenated":
        return this.partialOf(bound.shards, terms, sql, params)
      case "Merged":
        return Effect.suspend(() =>
          ScatterMerge.runPartial(this.merging(terms), this.requestOf(bound, undefined, sql, params), "execute")
        )
      case "Written":
      case "Sequenced":
      case "Changed":
      case "Listed":
        throw new Error("a write is no partial read")
    }
  }

  /** Once on each shard, in the transaction that all take part in: what is written there is what is merged. */
  private mergeWritten(
    merge: Merge,
    shards: ReadonlyArray<ShardId>,
    terms: Terms & { readonly transaction: Level },
    form: Form,
    sql: string,
    params: ReadonlyArray<unknown>
  ): Effect.Effect<any, ShardError> {
    return Effect.suspend(() => {
      const { transaction } = terms
      if (!shards.every(transaction.participates)) throw new Error("a shard is written that takes no part")
      if (!mayReadBeside(transaction, { ...terms, merge })) return Effect.fail(crossShard(transaction, shards))
      const once = { ...terms, policy: { ...terms.policy, retry: undefined } }
      const request = this.requestOf({ _tag: "Merged", merge, shards }, transaction, sql, params)
      return ScatterMerge.run({ ...this.merging(once), access: "write" }, request, form)
    })
  }

  private merging({ policy, transaction, view }: Terms): Parts.Options {
    const { limits, manager } = this.options
    const shard = transaction?.shard()
    return {
      driver: (of) => whenOpen(this.driverOf(of), Effect.succeed),
      coordinator: manager.coordinator,
      policy,
      limits,
      view,
      ...(transaction === undefined || shard === undefined
        ? {}
        : {
            home: {
              shard,
              connection: (of) => (transaction.participates(of) ? transaction.connectionFor(of) : undefined)
            }
          })
    }
  }

  /**
   * A read that several shards answer, or one that takes no part in the transaction. On participants it runs in the
   * transaction, which sees what that has written; elsewhere that has written nothing, and it runs beside it, as each
   * statement of READ COMMITTED sees what is committed then. If it fails, so has the transaction.
   */
  private beside<A>(
    terms: Terms,
    shards: ReadonlyArray<ShardId>,
    run: (terms: Terms) => Effect.Effect<A, ShardError>
  ): Effect.Effect<A, ShardError> {
    const { transaction } = terms
    if (transaction === undefined) return this.inView(terms, shards, run)
    return Effect.suspend(() => {
      if (!mayReadBeside(transaction, terms)) return Effect.fail(crossShard(transaction, shards))
      const once = run({ ...terms, policy: { ...terms.policy, retry: undefined } })
      const answer =
        transaction.settings() === "none" ? once : Effect.zipRight(Effect.forEach(shards, transaction.join), once)
      return Effect.tapError(Effect.zipRight(transaction.stillOpen, answer), (error) => dooms(transaction, error))
    })
  }

  private streamBeside<A>(
    terms: Terms,
    shards: ReadonlyArray<ShardId>,
    run: (terms: Terms) => Stream.Stream<A, ShardError>
  ): Stream.Stream<A, ShardError> {
    const { transaction } = terms
    if (transaction === undefined) return this.streamInView(terms, shards, run)
    return Stream.unwrap(
      this.beside(terms, shards, (own) =>
        Effect.succeed(Stream.tapError(run(own), (error) => dooms(transaction, error)))
      )
    )
  }

  /**
   * All shards in one view, or each as it is: where the policy says so, and where nothing is committed over several of
   * them. What fails is tried anew as a whole, for a view is one.
   */
  private inView<A>(
    terms: Terms,
    shards: ReadonlyArray<ShardId>,
    run: (terms: Terms) => Effect.Effect<A, ShardError>
  ): Effect.Effect<A, ShardError> {
    const viewing = this.viewing(terms, shards)
    if (viewing === undefined) return run(terms)
    const call = { policy: terms.policy, access: "read" } as const
    return ShardCall.repeated(call, Effect.scoped(Effect.flatMap(viewing, run)))
  }

  private streamInView<A>(
    terms: Terms,
    shards: ReadonlyArray<ShardId>,
    run: (terms: Terms) => Stream.Stream<A, ShardError>
  ): Stream.Stream<A, ShardError> {
    const viewing = this.viewing(terms, shards)
    if (viewing === undefined) return run(terms)
    const call = { policy: terms.policy, access: "read" } as const
    return ShardCall.repeatedStream(call, Stream.unwrapScoped(Effect.map(viewing, run)))
  }

  /** The terms inside of a view of these shards; undefined where none is wanted. */
  private viewing(
    terms: Terms,
    shards: ReadonlyArray<ShardId>
  ): Effect.Effect<Terms, ShardError, Scope.Scope> | undefined {
    const { views } = this.options
    const { policy } = terms
    if (views === undefined || policy.reads === "perShard") return undefined
    const opened = ShardCall.limited({ policy, access: "read", shard: firstOf(shards) }, views.open(shards))
    return Effect.map(opened, (view) =>
      view === undefined ? terms : { ...terms, policy: { ...policy, retry: undefined }, view }
    )
  }

  private runOne(
    shard: ShardId,
    { access, policy, transaction, view }: Known,
    form: Form,
    sql: string,
    params: ReadonlyArray<unknown>
  ): Effect.Effect<any, ShardError> {
    const session = view?.session(shard) ?? transaction?.connectionFor(shard)
    const onDriver = (driver: ShardDriver): Effect.Effect<any, ShardError> =>
      access === "read" && typeof form === "string" && driver.shared !== undefined
        ? ShardCall.runAs(driver.shared, form, sql, params)
        : ShardCall.runIn(driver, form, sql, params)
    const answer =
      session === undefined ? whenOpen(this.driverOf(shard), onDriver) : ShardCall.runIn(session, form, sql, params)
    const call: ShardCall.Call = { shard, policy, access }
    return transaction === undefined ? ShardCall.run(call, answer) : ShardCall.limited(call, answer)
  }

  private streamOne(
    shard: ShardId,
    { access, policy, transaction, view }: Known,
    sql: string,
    params: ReadonlyArray<unknown>,
    form: ScatterMerge.Form = "objects"
  ): Stream.Stream<any, ShardError> {
    const connection = view?.session(shard) ?? transaction?.connectionFor(shard) ?? this.driverOf(shard)
    const read = (opened: ShardConnection): Stream.Stream<any, ShardError> =>
      form === "texts" ? rowsIn(opened.streamPages(sql, params)) : opened.executeStream(sql, params)
    const rows = Effect.isEffect(connection) ? Stream.unwrap(Effect.map(connection, read)) : read(connection)
    const call: ShardCall.Call = { shard, policy, access }
    return transaction === undefined ? ShardCall.stream(call, rows) : ShardCall.limitedStream(call, rows)
  }

  /** At once where it is open. */
  private driverOf(shard: ShardId): ShardDriver | Effect.Effect<ShardDriver, ShardError> {
    const { manager } = this.options
    return manager.driverNow(shard) ?? manager.driver(shard)
  }

  /** Reads that any shard can answer go round, so that no shard carries the reference tables alone. */
  private inTurn(): readonly [ShardId, ...ReadonlyArray<ShardId>] {
    const shards = this.options.manager.topology().shards
    const at = this.turn++ % shards.length
    const [first, ...rest] = [...shards.slice(at), ...shards.slice(0, at)]
    if (first === undefined) throw new Error("a topology has no shards")
    return [first, ...rest]
  }

  /** A read that any shard can answer asks the next one while nothing was sent. */
  private runAny(
    [shard, next, ...others]: ReadonlyArray<ShardId>,
    terms: Known,
    form: Form,
    sql: string,
    params: ReadonlyArray<unknown>
  ): Effect.Effect<any, ShardError> {
    if (shard === undefined) throw new Error("no shard is left to ask")
    const once: Known = { ...terms, policy: { ...terms.policy, retry: undefined } }
    const answer = this.runOne(shard, once, form, sql, params)
    if (next === undefined) return answer
    return Effect.catchTag(answer, "ShardUnavailable", (error) =>
      error.sent ? Effect.fail(error) : this.runAny([next, ...others], terms, form, sql, params)
    )
  }

  /**
   * A transaction that has a shard reads there, and so sees its own snapshot. One that has none yet reads beside itself:
   * reading a reference table must not decide which shard it can write to. Whoever tries anew begins at another shard.
   */
  private runAnywhere(
    terms: Known,
    form: Form,
    sql: string,
    params: ReadonlyArray<unknown>
  ): Effect.Effect<any, ShardError> {
    const { transaction } = terms
    const beside: Known = { ...terms, transaction: undefined }
    const anywhere = Effect.suspend(() => this.runAny(this.inTurn(), beside, form, sql, params))
    if (transaction === undefined) return ShardCall.repeated(terms, anywhere)
    return Effect.suspend(() => {
      const shard = transaction.shard()
      if (shard === undefined && transaction.settings() !== "none") {
        return transaction.aside(this.inTurn()[0], (connection) => ShardCall.runIn(connection, form, sql, params))
      }
      return shard === undefined
        ? Effect.tapError(Effect.zipRight(transaction.stillOpen, ShardCall.repeated(terms, anywhere)), (error) =>
            dooms(transaction, error)
          )
        : this.runOne(shard, terms, form, sql, params)
    })
  }

  private streamAnywhere(
    terms: Known,
    sql: string,
    params: ReadonlyArray<unknown>,
    form: ScatterMerge.Form
  ): Stream.Stream<any, ShardError> {
    const { policy, transaction } = terms
    return Stream.suspend(() => {
      const shard = transaction?.shard()
      if (shard !== undefined) return this.streamOne(shard, terms, sql, params, form)
      if (transaction !== undefined && transaction.settings() !== "none") {
        return Stream.fromIterableEffect(ScatterMerge.atOnce(form, (as) => this.runAnywhere(terms, as, sql, params)))
      }
      const once: Known = { ...terms, transaction: undefined, policy: { ...policy, retry: undefined } }
      const rows = ShardCall.repeatedStream(
        terms,
        Stream.suspend(() => this.streamOne(this.inTurn()[0], once, sql, params, form))
      )
      if (transaction === undefined) return rows
      const beside = Stream.tapError(rows, (error) => dooms(transaction, error))
      return Stream.concat(Stream.drain(Stream.fromEffect(transaction.stillOpen)), beside)
    })
  }

  /**
   * What a PostgreSQL must finish goes round among the shards that it concerns, unless a coordinator is chosen; if others
   * are left not to a participant of the transaction, whose connection may be all that it has.
   */
  private requestOf(
    { merge, shards }: Extract<BoundPlan, { readonly _tag: "Merged" }>,
    transaction: Level | undefined,
    sql: string,
    params: ReadonlyArray<unknown>
  ): Parts.Request {
    const others = transaction === undefined ? shards : shards.filter((shard) => !transaction.participates(shard))
    const free = others.length === 0 ? shards : others
    const coordinator = free[this.turn++ % free.length]
    if (coordinator === undefined) throw new Error("a merge over no shards")
    return { merge, shards, coordinator, sql, params }
  }

  private runConcatenated(
    shards: ReadonlyArray<ShardId>,
    terms: Terms,
    form: Form,
    sql: string,
    params: ReadonlyArray<unknown>
  ): Effect.Effect<any, ShardError> {
    const parts = upTo(terms.policy.concurrency, shards, (shard) =>
      this.runOne(shard, partOf(terms, shard), form, sql, params)
    )
    return Effect.map(parts, (answers) => Feed.concatenated(form, answers))
  }

  /** Shards that cannot be reached are listed; any other failure interrupts the siblings as ever. */
  private partialOf(
    shards: ReadonlyArray<ShardId>,
    terms: Known,
    sql: string,
    params: ReadonlyArray<unknown>
  ): Effect.Effect<Partial.PartialRows<any>, ShardError> {
    const parts = Effect.forEach(
      shards,
      (shard) => Partial.orMissing(shard, this.runOne(shard, terms, "execute", sql, params)),
      { concurrency: terms.policy.concurrency }
    )
    return Effect.map(parts, (answers) => ({
      rows: Array.getRights(answers).flat(),
      missing: Array.getLefts(answers)
    }))
  }

  private streamConcatenated(
    shards: ReadonlyArray<ShardId>,
    terms: Terms,
    sql: string,
    params: ReadonlyArray<unknown>,
    form: ScatterMerge.Form
  ): Stream.Stream<any, ShardError> {
    return Stream.flatMap(
      Stream.fromIterable(shards),
      (shard) => this.streamOne(shard, partOf(terms, shard), sql, params, form),
      // Two chunks a shard: enough to keep it busy, and memory stays flat.
      { concurrency: terms.policy.concurrency, bufferSize: 2 }
    )
  }
}

/** Of all pages, as texts. */
const rowsIn = (pages: Stream.Stream<RowPage, ShardError>): Stream.Stream<TextRow, ShardError> =>
  Stream.mapChunks(pages, (chunk) => {
    const rows: globalThis.Array<TextRow> = []
    for (const page of chunk) for (let row = 0; row < page.count; row++) rows.push(page.row(row))
    return Chunk.unsafeFromArray(rows)
  })

const whenOpen = <A>(
  driver: ShardDriver | Effect.Effect<ShardDriver, ShardError>,
  use: (driver: ShardDriver) => Effect.Effect<A, ShardError>
): Effect.Effect<A, ShardError> => (Effect.isEffect(driver) ? Effect.flatMap(driver, use) : use(driver))

const known = ({ policy, transaction }: Terms, access: Known["access"]): Known => ({ policy, transaction, access })

/**
 * A part of a read: in the transaction on its participants alone. To be asked as the shard's turn comes, for it may have
 * joined by then.
 */
const partOf = ({ policy, transaction, view }: Terms, shard: ShardId): Known => ({
  policy,
  view,
  transaction: transaction?.participates(shard) === true ? transaction : undefined,
  access: "read"
})

/** The transaction has begun, and not there. */
const isElsewhere = (transaction: Level, shard: ShardId): boolean =>
  transaction.shard() !== undefined && !transaction.participates(shard)

/** A merge takes the time from the transaction's own session, where there is one. */
const timelessly = (terms: Terms, merge: Merge): Terms => ({
  ...terms,
  isTimeless: merge.now === undefined || terms.transaction?.shard() !== undefined,
  merge
})

/** What the program has set on its own session would not hold on the others, unless they can be given the same. */
const mayReadBeside = (transaction: Level, { isTimeless, merge }: Terms): boolean => {
  if (isTimeless === false || transaction.isUnsettled()) return false
  const settings = transaction.settings()
  // Rows are put together as they look by default; and the PostgreSQL that finishes knows nothing of what was set.
  return settings === "none" || merge === undefined || (settings === "plain" && merge.finish._tag !== "Combine")
}

const firstOf = (shards: ReadonlyArray<ShardId>): ShardId => {
  const [first] = shards
  if (first === undefined) throw new Error("a read over no shards")
  return first
}

const dooms = (transaction: Level, { _tag }: ShardError): Effect.Effect<void> =>
  _tag === "StatementFailed" || _tag === "ShardTimeout" || _tag === "ShardUnavailable" ? transaction.doom : Effect.void

const crossShard = (transaction: Level, needed: ReadonlyArray<ShardId>): CrossShardTransaction =>
  new CrossShardTransaction({ began: transaction.shard(), needed })
