/** A self-signed certificate for `localhost`, written as DER by hand: Node can sign, but cannot make certificates. */
import { createSign, generateKeyPairSync } from "node:crypto"

export const selfSigned = (): { readonly key: string; readonly certificate: string } => {
  const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 })
  const day = 86_400_000
  const body = sequence(
    tagged(0xa0, integer(2)),
    integer(1),
    sha256WithRsa,
    localhost,
    sequence(time(Date.now() - day), time(Date.now() + day)),
    localhost,
    publicKey.export({ type: "spki", format: "der" }),
    tagged(
      0xa3,
      sequence(
        extension("551d13", sequence(tagged(0x01, Buffer.from([0xff])))),
        extension("551d11", sequence(tagged(0x82, Buffer.from("localhost"))))
      )
    )
  )
  const signature = createSign("sha256").update(body).sign(privateKey)
  const der = sequence(body, sha256WithRsa, tagged(0x03, Buffer.concat([Buffer.from([0]), signature])))
  const lines = der.toString("base64").replace(/.{64}/g, "$&\n")
  return {
    key: privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
    certificate: `-----BEGIN CERTIFICATE-----\n${lines}\n-----END CERTIFICATE-----\n`
  }
}

const tagged = (tag: number, ...parts: ReadonlyArray<Buffer>): Buffer => {
  const content = Buffer.concat(parts)
  const { length } = content
  const size = length < 128 ? [length] : length < 256 ? [0x81, length] : [0x82, length >> 8, length & 255]
  return Buffer.concat([Buffer.from([tag, ...size]), content])
}

const sequence = (...parts: ReadonlyArray<Buffer>): Buffer => tagged(0x30, ...parts)

const integer = (value: number): Buffer => tagged(0x02, Buffer.from([value]))

const identifier = (hex: string): Buffer => tagged(0x06, Buffer.from(hex, "hex"))

const time = (millis: number): Buffer =>
  tagged(0x17, Buffer.from(`${new Date(millis).toISOString().replace(/[-:T]/g, "").slice(2, 14)}Z`))

const extension = (id: string, value: Buffer): Buffer => sequence(identifier(id), tagged(0x04, value))

const sha256WithRsa = sequence(identifier("2a864886f70d01010b"), tagged(0x05))

const localhost = sequence(tagged(0x31, sequence(identifier("550403"), tagged(0x0c, Buffer.from("localhost")))))
