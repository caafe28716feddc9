/**
 * PostgreSQL's own functions that are not immutable, and what the router may do with them.
 *
 * Enters: a function's name, its volatility in the catalog, the number of arguments. Leaves: how far its value depends
 * on where it runs, or `undefined`: it reads or changes something hidden, and is refused. A function that is not listed
 * is refused: a new release may bring anything.
 *
 * @since 0.1.0
 */
import type { Builtin } from "./Catalog.js"
import type { Stability } from "./analysis/Model.js"

/**
 * Their value depends on settings only (time zone, date style, locale, text search configuration), which are pinned or
 * compared, so it is the same on all shards. Those that print values of any type are stable for that reason alone.
 */
const settings = new Set(
  words(`
  array_to_json array_to_string concat concat_ws format quote_literal quote_nullable
  json_agg json_agg_strict json_build_array json_build_object json_object_agg json_object_agg_strict
  json_object_agg_unique json_object_agg_unique_strict json_populate_record json_populate_recordset json_to_record
  json_to_recordset json_to_tsvector
  jsonb_agg jsonb_agg_strict jsonb_build_array jsonb_build_object jsonb_object_agg jsonb_object_agg_strict
  jsonb_object_agg_unique jsonb_object_agg_unique_strict jsonb_path_exists_tz jsonb_path_match_tz
  jsonb_path_query_array_tz jsonb_path_query_first_tz jsonb_path_query_tz jsonb_populate_record
  jsonb_populate_record_valid jsonb_populate_recordset jsonb_to_record jsonb_to_recordset jsonb_to_tsvector
  row_to_json to_json to_jsonb
  convert convert_from convert_to length money numeric overlaps
  date date_add date_part date_subtract date_trunc extract generate_series make_timestamptz time timestamp timestamptz
  timetz timezone to_char to_date to_number to_timestamp
  enum_first enum_last enum_range
  phraseto_tsquery plainto_tsquery to_tsquery to_tsvector ts_headline websearch_to_tsquery
  pg_typeof pg_collation_for pg_client_encoding getdatabaseencoding pg_input_is_valid pg_input_error_info
  xml xml_is_well_formed
`)
)

/** One statement on one shard may use them; on several shards each would give a value of its own. */
const shard = new Set(
  words(`
  clock_timestamp now statement_timestamp timeofday transaction_timestamp
  random random_normal gen_random_uuid uuidv4 uuidv7 array_sample array_shuffle
  pg_sleep pg_sleep_for pg_sleep_until
  pg_column_size
`)
)

/**
 * A function that gives another value at each call within one statement, or takes its time. Of those that are not
 * refused anyway; `now` and its like are stable.
 *
 * @since 0.1.0
 * @category guards
 */
export const isVolatile = (name: string): boolean => volatile.has(name)

const volatile = new Set(
  words(`
  clock_timestamp timeofday
  random random_normal gen_random_uuid uuidv4 uuidv7 array_sample array_shuffle
  pg_sleep pg_sleep_for pg_sleep_until
`)
)

/**
 * Functions that do more than their volatility says, or that take apart a name: refused although immutable.
 */
const hidden = new Set(
  words(`
  currtid2
`)
)

/** @since 0.1.0 @category functions */
export const stabilityOf = (name: string, builtin: Builtin, args: number): Stability | undefined => {
  if (hidden.has(name)) return undefined
  if (builtin.volatility === "i") return "immutable"
  // With one argument it subtracts from the current date.
  if (name === "age") return args === 1 ? "shard" : "immutable"
  if (settings.has(name)) return "settings"
  return shard.has(name) ? "shard" : undefined
}

/**
 * Aggregates whose value does not depend on the order of their input rows: any copy of a table gives the same.
 *
 * @since 0.1.0
 * @category guards
 */
export const isOrderFree = (name: string): boolean => orderFree.has(name)

const orderFree = new Set(
  words(`
  bit_and bit_or bit_xor bool_and bool_or count every max min
`)
)

/**
 * Functions that look up the name of a database object.
 *
 * @since 0.1.0
 * @category guards
 */
export const isNameLookup = (name: string): boolean => name === "to_regclass"

/**
 * Functions that read, out of a text or on their own, what a database calls its objects: text search configurations, types.
 *
 * @since 0.1.0
 * @category guards
 */
export const looksUpNames = (name: string): boolean => lookups.has(name) || name.startsWith("to_reg")

const lookups = new Set(
  words(`
  json_to_tsvector jsonb_to_tsvector phraseto_tsquery plainto_tsquery to_tsquery to_tsvector ts_headline ts_lexize
  websearch_to_tsquery
  pg_typeof pg_collation_for pg_input_is_valid pg_input_error_info
`)
)

function words(text: string): ReadonlyArray<string> {
  return text.trim().split(/\s+/)
}
