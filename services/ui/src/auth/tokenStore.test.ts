import { beforeEach, describe, expect, it, vi } from "vitest";
import { TokenStore, takeToken } from "./tokenStore";
import { accessOf } from "./useWriteAccess";

describe("TokenStore", () => {
  it("keeps the token for the tab and forgets it everywhere", () => {
    new TokenStore(sessionStorage).set("  secret ");
    const again = new TokenStore(sessionStorage);
    expect(again.get().token).toBe("secret");
    again.forget();
    expect(new TokenStore(sessionStorage).get().token).toBeNull();
  });

  it("forgets a refused token and asks for another", () => {
    const store = new TokenStore(sessionStorage);
    store.set("old");
    store.refused("old");
    expect(store.get().token).toBeNull();
    expect(store.get().asking).not.toBeNull();
    expect(sessionStorage.length).toBe(0);
  });

  it("keeps a newer token when an old request is refused late", () => {
    const store = new TokenStore(sessionStorage);
    store.set("new");
    store.refused("old");
    expect(store.get()).toEqual({ token: "new", asking: null });
  });

  it("refuses a token that no header can carry", () => {
    const store = new TokenStore(sessionStorage);
    store.set("with spaces");
    expect(store.get().token).toBeNull();
    expect(store.get().asking).toContain("did not accept");
  });

  it("works where storage is not allowed", () => {
    const broken = {
      getItem: vi.fn(() => {
        throw new Error("denied");
      }),
      setItem: vi.fn(() => {
        throw new Error("denied");
      }),
    };
    const store = new TokenStore(broken as unknown as Storage);
    store.set("secret");
    expect(store.get().token).toBe("secret");
  });
});

describe("takeToken", () => {
  beforeEach(() => {
    window.history.replaceState(null, "", "/runs?state=waiting#token=a%2Bb&x=1");
  });

  it("takes the token out of the address and leaves the rest", () => {
    const store = new TokenStore(sessionStorage);
    const entries = window.history.length;
    takeToken(window.location, window.history, store);
    expect(store.get().token).toBe("a+b");
    expect(window.location.href).toMatch(/\/runs\?state=waiting#x=1$/);
    expect(window.history.length).toBe(entries);
  });

  it("leaves an address without a token alone", () => {
    window.history.replaceState(null, "", "/runs#part");
    const store = new TokenStore(sessionStorage);
    takeToken(window.location, window.history, store);
    expect(window.location.hash).toBe("#part");
    expect(store.get().token).toBeNull();
  });
});

describe("accessOf", () => {
  const config = { version: "1", server_time: "", writable: false, token_required: true, mode: "local" };

  it("says why nothing can be changed", () => {
    expect(accessOf(undefined).allowed).toBe(false);
    expect(accessOf(config).reason).toContain("enter a token");
    expect(accessOf({ ...config, token_required: false }).canEnterToken).toBe(false);
    expect(accessOf({ ...config, writable: true })).toMatchObject({ allowed: true, reason: "" });
  });
});
