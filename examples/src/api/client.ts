/** A client of the API that says who it is, or does not. */
import * as HttpApiClient from "@effect/platform/HttpApiClient"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import { Api } from "./definition.js"

export const clientOf = (tenant?: string) =>
  HttpApiClient.make(Api, {
    transformClient: HttpClient.mapRequest((request) =>
      tenant === undefined ? request : HttpClientRequest.setHeader(request, "x-tenant", tenant)
    )
  })
