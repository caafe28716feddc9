/** Types that users and extensions make, and the statements that each of them is put through. */

export interface Subject {
  /** Of the tables `{name}_a` and `{name}_b`. */
  readonly name: string
  readonly type: string
  /** SQL texts of values; NULL is added. */
  readonly values: ReadonlyArray<string>
  /** Has an order; else neither ORDER BY nor min and max. */
  readonly ordered: boolean
  /** Has min and max. */
  readonly extreme: boolean
  /** An expression over `v`. */
  readonly face?: string
}

const rowsMax = 60

export const keysMax = rowsMax

/** Tables of a subject, and their rows: values come again, on several shards. */
export const tables = (subject: Subject): string => {
  const { name, type } = subject
  return `
create table ${name}_a (id int8 primary key, n int4 not null, v ${type});
create table ${name}_b (id int8 primary key, a_id int8, v ${type});`
}

export const rows = ({ name, type, values }: Subject): string => {
  const value = (step: number) =>
    `(case ${values.map((text, index) => `when i * ${step} % ${values.length + 1} = ${index} then ${text}::${type}`).join(" ")} end)`
  return `
insert into ${name}_a select i, i % 4, ${value(1)} from generate_series(1, ${rowsMax}) i;
insert into ${name}_b select i, (i * 7) % ${rowsMax} + 1, ${value(3)} from generate_series(1, ${rowsMax}) i;`
}

/**
 * Where equal values may look different, which of them a group shows is nobody's promise: `face` makes them alike.
 */
export const statements = ({ extreme, face = "v", name, ordered, type, values }: Subject): ReadonlyArray<string> => {
  const [a, b] = [`${name}_a`, `${name}_b`]
  const [first = "null"] = values
  const literal = `${first}::${type}`
  const some = values
    .slice(0, 2)
    .map((text) => `${text}::${type}`)
    .join(", ")
  return [
    `select id, v from ${a}`,
    `select id from ${a} where v is null`,
    `select id, v is not distinct from ${literal} from ${a}`,
    `select id, v from ${a} order by id desc limit 7`,
    `select array_agg(v order by id) from ${a}`,
    `select n, array_agg(v order by id) from ${a} group by n order by n`,
    `select a.id, a.v, b.v as w from ${a} a join ${b} b using (id) order by a.id`,
    `select a.id, b.id as b_id, a.v, b.v as w from ${a} a join ${b} b on b.a_id = a.id order by a.id, b.id`,
    `select b.id, (select a.v from ${a} a where a.id = b.a_id) from ${b} b`,
    `select a.id, b.v from ${a} a left join ${b} b on b.a_id = a.n and b.id < 9 order by a.id, b.id`,
    `select v from ${a} union all select v from ${b}`,
    `select id, first_value(v) over (partition by n order by id) from ${a} order by id`,
    `select jsonb_agg(v order by id) from ${a}`,
    `select id, v::text from ${a} order by id`,
    `with x as (select n, v from ${a}) select n, count(v) from x group by n order by n`,
    `select count(*) from ${a} where row(v, 1) is not null`,
    `select (array_agg(v order by id))[2:4], n from ${a} group by n having count(*) > 1 order by n`,
    ...(ordered
      ? [
          `select id from ${a} where v = ${literal}`,
          `select id from ${a} where v in (${some})`,
          `select id from ${a} where v < ${literal} or v >= ${literal} and n = 1`,
          `select id, v from ${a} order by v, id`,
          `select id, v from ${a} order by v desc nulls last, id limit 9 offset 3`,
          `select v, id from ${a} order by 1 nulls first, 2 limit 5`,
          `select ${face} as f from (select distinct v from ${a}) x order by x.v`,
          `select count(*) from (select distinct v, n from ${a}) x`,
          `select distinct on (v) v, id from ${a} order by v, id`,
          `select ${face} as f, count(*), sum(id) from ${a} group by v order by v`,
          `select ${face} as f, count(*) from ${a} group by v having count(*) > 3 order by 2, v`,
          `select ${face} as f, n, count(*) from ${a} group by grouping sets ((v), (n), (v, n)) order by v, 2, 3`,
          `select count(distinct v) from ${a}`,
          `select n, count(distinct v) from ${a} group by n order by n`,
          `select array_agg(${face} order by v) from (select distinct v from ${a}) x`,
          `select array_length(array_agg(distinct v), 1) from ${a}`,
          `select array_agg(v order by v, id) from ${a}`,
          `select ${face} as f from (select percentile_disc(0.5) within group (order by v) as v from ${a}) x`,
          `select id, rank() over (order by v) from ${a} order by id`,
          `select id, count(*) over (partition by v) from ${a} order by id`,
          `select a.id, b.id as b_id from ${a} a join ${b} b on a.v = b.v where a.id < 20 order by 1, 2`,
          `select a.id, b.id as b_id from ${a} a join ${b} b using (v) where b.id < 9 order by 1, 2`,
          `select v, a.id, b.id as b_id from ${a} a full join ${b} b using (v) where a.id < 5 or b.id < 5 order by 2, 3`,
          `select id from ${a} where v in (select v from ${b} where id < 5)`,
          `select id from ${a} where not exists (select from ${b} b where b.v = ${a}.v and b.id % 5 = 0)`,
          `select id from ${a} where v > all (select v from ${b} where id < 3)`,
          `select ${face} as f from (select v from ${a} union select v from ${b}) x order by x.v`,
          `select ${face} as f from (select v from ${a} where n = 1 except select v from ${b} where id < 12) x order by x.v`,
          `select ${face} as f from (select v from ${a} where n = 1 intersect select v from ${b}) x order by x.v desc`,
          ...(face === "v"
            ? [
                `select v from ${a} union select v from ${b} order by 1`,
                `select distinct v from ${a} order by v desc limit 3`
              ]
            : []),
          `with recursive r as (select id, v from ${a} where id = 5 union select b.id, b.v from r join ${b} b on b.a_id = r.id where b.id < 40) select * from r order by id`,
          `select greatest(v, ${literal}), id from ${a} order by 1, 2`,
          `select id from ${a} a where v = (select b.v from ${b} b where b.id = 3) order by id`,
          `select count(*) from (select distinct array[v] from ${a}) x`,
          `select count(*) from (select v from ${a} group by v) x join (select v from ${b} group by v) y on x.v = y.v`,
          `select lag(v) over (order by v, id) as p, id from ${a} order by v, id`,
          `select ${face} as f from (select mode() within group (order by v) as v from ${a} where v is not null and id in (1, 9, 17)) x`
        ]
      : []),
    ...(extreme
      ? [
          `select ${face} as f from (select min(v) as v from ${a}) x`,
          `select n, ${face} as f from (select n, max(v) as v from ${a} group by n) x order by n`,
          `select n from ${a} group by n order by max(v), n`,
          `select id from ${a} where v = (select max(v) from ${b}) order by id`,
          `select n, count(*) filter (where id > 10) from ${a} group by n having min(v) <= ${literal} order by 1`
        ]
      : [])
  ]
}
