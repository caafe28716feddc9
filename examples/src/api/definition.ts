/**
 * What the API is, for the server and for its clients: endpoints, bodies, errors with their status.
 *
 * Each tenant keeps notes. Who asks says so in a header; what is behind `TenantOfRequest` is about that tenant's notes alone.
 */
import * as HttpApi from "@effect/platform/HttpApi"
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import * as HttpApiMiddleware from "@effect/platform/HttpApiMiddleware"
import * as HttpApiSchema from "@effect/platform/HttpApiSchema"
import * as HttpApiSecurity from "@effect/platform/HttpApiSecurity"
import * as OpenApi from "@effect/platform/OpenApi"
import * as Context from "effect/Context"
import * as Schema from "effect/Schema"

/** A number of 64 bits: as text, so that JavaScript loses none of it. */
const NoteId = Schema.String.pipe(
  Schema.filter((id) => /^\d{1,19}$/.test(id) && BigInt(id) < 2n ** 63n),
  Schema.annotations({ identifier: "NoteId", jsonSchema: { type: "string", pattern: "^\\d{1,19}$" } })
)

export const Note = Schema.Struct({ id: NoteId, text: Schema.String }).annotations({ identifier: "Note" })

export class TenantMissing extends Schema.TaggedError<TenantMissing>()(
  "TenantMissing",
  { message: Schema.String },
  HttpApiSchema.annotations({ status: 401 })
) {}

export class TenantUnknown extends Schema.TaggedError<TenantUnknown>()(
  "TenantUnknown",
  { tenant: Schema.String },
  HttpApiSchema.annotations({ status: 404 })
) {
  override get message(): string {
    return `there is no tenant ${this.tenant}`
  }
}

export class NoteNotFound extends Schema.TaggedError<NoteNotFound>()(
  "NoteNotFound",
  { id: Schema.String },
  HttpApiSchema.annotations({ status: 404 })
) {}

/** Whose request it is. */
export class Tenant extends Context.Tag("Tenant")<Tenant, { readonly id: string; readonly name: string }>() {}

/** A real one would take the tenant out of a signed token; where it stands in the request changes nothing else. */
export class TenantOfRequest extends HttpApiMiddleware.Tag<TenantOfRequest>()("TenantOfRequest", {
  security: { tenant: HttpApiSecurity.apiKey({ in: "header", key: "x-tenant" }) },
  failure: Schema.Union(TenantMissing, TenantUnknown),
  provides: Tenant
}) {}

const noteId = HttpApiSchema.param("id", NoteId)

/** Pages by the last id seen. */
const Page = Schema.Struct({
  after: Schema.optional(NoteId),
  limit: Schema.optional(Schema.NumberFromString.pipe(Schema.int(), Schema.between(1, 100)))
})

const notes = HttpApiGroup.make("notes")
  .add(HttpApiEndpoint.get("list", "/").setUrlParams(Page).addSuccess(Schema.Array(Note)))
  .add(HttpApiEndpoint.get("read")`/${noteId}`.addSuccess(Note).addError(NoteNotFound))
  .add(
    HttpApiEndpoint.post("write", "/")
      .setPayload(Schema.Struct({ text: Schema.NonEmptyString }))
      .addSuccess(Note, { status: 201 })
  )
  .prefix("/notes")
  .middleware(TenantOfRequest)

/** For the operator: all tenants, so all shards. */
const usage = HttpApiGroup.make("usage").add(
  HttpApiEndpoint.get("all", "/usage").addSuccess(
    Schema.Array(Schema.Struct({ tenant: Schema.String, shard: Schema.String, notes: Schema.Number }))
  )
)

export const Api = HttpApi.make("notebook").add(notes).add(usage).annotate(OpenApi.Title, "Notebook")
