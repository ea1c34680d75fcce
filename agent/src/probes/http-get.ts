import { type IncomingMessage, type RequestOptions, request as requestHttp } from "node:http";
import { request as requestHttps } from "node:https";
import type { HTTPGetAction } from "@tessera/proto";
import { explainDial, lookUpHost } from "./dial.ts";
import { LONGEST_ANSWER_BYTES, USER_AGENT } from "./probe-result.ts";

const MOST_REDIRECTS = 10;

export interface HttpAnswer {
  readonly status: number;
  /** Where the answer wanted to send us, when that is another host. */
  readonly elsewhere: string | undefined;
}

/**
 * Sends the GET request of a probe or a hook, each on a connection of its own. Redirects are followed on the same host only: what a
 * container answers must not send requests of the node anywhere else. Certificates are not checked. Throws with the URL when there is no
 * answer.
 */
export async function httpGet(action: HTTPGetAction, host: string, port: number, signal: AbortSignal): Promise<HttpAnswer> {
  const scheme = action.scheme?.toLowerCase() === "https" ? "https" : "http";
  const start = new URL(`${scheme}://${host.includes(":") ? `[${host}]` : host}:${port}`);
  const headers = requestHeaders(action);
  let url = start;
  let path = requestPath(action.path);
  for (let redirects = 0; ; redirects++) {
    const response = await send(url, path, headers, signal);
    const status = response.statusCode ?? 0;
    const { location } = response.headers;
    if (!isRedirect(status) || location === undefined || redirects === MOST_REDIRECTS) return { status, elsewhere: undefined };
    const base = new URL(path, url).href;
    if (!URL.canParse(location, base)) return { status, elsewhere: undefined };
    url = new URL(location, base);
    if (url.hostname !== start.hostname || !/^https?:$/.test(url.protocol)) return { status, elsewhere: url.href };
    path = `${url.pathname}${url.search}`;
  }
}

function isRedirect(status: number): boolean {
  return [301, 302, 303, 307, 308].includes(status);
}

/** The path as it goes on the wire: from the root, without a fragment, and without characters that no request line can carry. */
function requestPath(given: string | undefined): string {
  const path = (given ?? "/").split("#", 1)[0] ?? "";
  return (path.startsWith("/") ? path : `/${path}`).replace(/[^\x21-\x7e]/gu, encodeURIComponent);
}

/** A header that is given replaces the default of its name, an empty one takes it away. */
function requestHeaders(action: HTTPGetAction): Record<string, string | string[]> {
  const given = new Map<string, string[]>();
  for (const { name = "", value = "" } of action.httpHeaders ?? []) {
    const key = name.toLowerCase();
    given.set(key, [...(given.get(key) ?? []), value]);
  }
  const headers: Record<string, string | string[]> = {};
  for (const [name, value] of [
    ["user-agent", USER_AGENT],
    ["accept", "*/*"],
  ] as const) {
    if (!given.has(name)) headers[name] = value;
    else if (given.get(name)?.join("") === "") given.delete(name);
  }
  for (const [name, values] of given) headers[name] = values.length === 1 ? (values[0] ?? "") : values;
  return headers;
}

/** Resolves with the answer's head once its body was read, or as much of it as is read at all. */
async function send(url: URL, path: string, headers: Record<string, string | string[]>, signal: AbortSignal): Promise<IncomingMessage> {
  const options: RequestOptions & { rejectUnauthorized: boolean } = {
    hostname: url.hostname.replace(/^\[|\]$/g, ""),
    port: url.port || (url.protocol === "https:" ? 443 : 80),
    path,
    headers,
    agent: false,
    lookup: lookUpHost,
    signal,
    rejectUnauthorized: false,
  };
  try {
    return await new Promise((resolve, reject) => {
      const request = (url.protocol === "https:" ? requestHttps : requestHttp)(options, (response) => {
        let bytes = 0;
        response.on("data", (chunk: Buffer) => {
          bytes += chunk.length;
          if (bytes <= LONGEST_ANSWER_BYTES) return;
          resolve(response);
          response.destroy();
        });
        response.once("end", () => resolve(response));
        response.once("error", reject);
      });
      request.once("error", reject);
      request.end();
    });
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    throw new Error(`Get "${new URL(path, url).href}": ${explainDial(error, url.host)}`, { cause: error });
  }
}
