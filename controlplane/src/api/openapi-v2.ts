import { BinaryWriter } from "@bufbuild/protobuf/wire";
import { type ApiResponse, jsonResponse } from "./http.ts";

const info = { title: "Tessera", version: "v1" };

/**
 * What /openapi/v2 answers. kubectl still asks for it when it meets `kind: List`, to look the items' kinds up before it sends them one by one;
 * for a kind that the document lacks it leaves validation to the server. Tessera's server always validates, and says more than
 * OpenAPI v2 could, so the document names no kinds. kubectl reads it as protobuf only (gnostic's openapi.v2.Document).
 */
export function openApiV2(accept: string | undefined): ApiResponse {
  if (accept?.includes("proto-openapi.spec.v2")) {
    return {
      status: 200,
      headers: { "content-type": "application/com.github.proto-openapi.spec.v2.v1.0+protobuf" },
      body: encodeDocument(),
    };
  }
  return jsonResponse({ swagger: "2.0", info, paths: {}, definitions: {} });
}

/** Document { swagger = 1, info = 2 { title = 1, version = 2 }, paths = 8, definitions = 9 }. */
function encodeDocument(): Buffer {
  const writer = new BinaryWriter();
  writer.tag(1, 2).string("2.0");
  writer.tag(2, 2).fork().tag(1, 2).string(info.title).tag(2, 2).string(info.version).join();
  writer.tag(8, 2).fork().join();
  writer.tag(9, 2).fork().join();
  return Buffer.from(writer.finish());
}
