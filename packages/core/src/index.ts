/** @since 0.1.0 */
export * as LightStatement from "./LightStatement.js"
