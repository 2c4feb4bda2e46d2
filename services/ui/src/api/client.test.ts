import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { tokenStore } from "../auth/tokenStore";
import { apiUrl, basePath } from "./base";
import { request } from "./client";
import { ApiError, explain } from "./errors";

const answer = (status: number, body: string) => vi.fn(async () => new Response(body, { status, statusText: "Text" }));

beforeEach(() => {
  tokenStore.forget();
  tokenStore.close();
});
afterEach(() => {
  vi.unstubAllGlobals();
});

describe("request", () => {
  it("sends the token and a JSON body", async () => {
    const fetch = answer(200, '{"run":1}');
    vi.stubGlobal("fetch", fetch);
    tokenStore.set("secret");
    await request("runs", { method: "POST", body: { prompt: "é" } });
    const [url, init] = fetch.mock.calls[0] as unknown as [string, RequestInit];
    expect(url).toBe(new URL("/api/runs", document.baseURI).href);
    expect(init.headers).toMatchObject({ Authorization: "Bearer secret", "Content-Type": "application/json" });
    expect(init.body).toBe('{"prompt":"é"}');
  });

  it("tells the gateway's own words of an error", async () => {
    vi.stubGlobal("fetch", answer(404, '{"error":{"code":"NOT_FOUND","message":"there is no run 7"}}'));
    await expect(request("runs/7")).rejects.toMatchObject({
      status: 404,
      code: "NOT_FOUND",
      message: "there is no run 7",
    });
  });

  it.each(["<html>Bad gateway</html>", "", '{"error":"text"}', '{"error":null}', "null"])(
    "takes the status where the body is %j",
    async (body) => {
      vi.stubGlobal("fetch", answer(502, body));
      await expect(request("agents")).rejects.toMatchObject({ status: 502, message: "HTTP 502 Text" });
    },
  );

  it("is status 0 when nobody answers", async () => {
    vi.stubGlobal(
      "fetch",
      vi.fn(async () => {
        throw new TypeError("Failed to fetch");
      }),
    );
    await expect(request("agents")).rejects.toMatchObject({ status: 0, code: "UNREACHABLE" });
  });

  it("asks for a token again when it is refused", async () => {
    vi.stubGlobal("fetch", answer(401, '{"error":{"code":"UNAUTHENTICATED","message":"not known"}}'));
    tokenStore.set("old");
    await expect(request("runs")).rejects.toMatchObject({ status: 401 });
    expect(tokenStore.get().token).toBeNull();
    expect(tokenStore.get().asking).not.toBeNull();
  });

  it("is an error, not a fault, when the answer is no JSON", async () => {
    vi.stubGlobal("fetch", answer(200, "<html>"));
    await expect(request("agents")).rejects.toBeInstanceOf(ApiError);
  });
});

describe("explain", () => {
  it("has words for a person for every kind of error", () => {
    const titles = [0, 400, 401, 403, 404, 409, 413, 500, 503].map((status) => {
      const { title, advice } = explain(new ApiError(status, "", "detail"));
      expect(advice).not.toBe("");
      return title;
    });
    expect(titles.every((title) => title.endsWith("."))).toBe(true);
    expect(explain(new Error("boom")).advice).toBe("boom");
  });
});

describe("below a path", () => {
  it.each([
    ["http://host/", "/"],
    ["http://host/tools/milepost/", "/tools/milepost/"],
    ["http://host/tools/milepost/index.html", "/tools/milepost/"],
  ])("%s has the base %s", (documentBase, base) => {
    expect(basePath(documentBase)).toBe(base);
  });

  it("leaves out what is not asked for and encodes the rest", () => {
    expect(apiUrl("runs", { q: "a&b", state: "", page_token: undefined })).toMatch(/\/api\/runs\?q=a%26b$/);
  });
});
