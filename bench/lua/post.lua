-- The same POST again and again: BENCH_PATH (below /v1/), BENCH_BODY (JSON), BENCH_TOKEN (may be missing).
local headers = { ["Content-Type"] = "application/json", ["X-Vault-Request"] = "true" }
headers["X-Vault-Token"] = os.getenv("BENCH_TOKEN")
local prepared

init = function(_)
  prepared = wrk.format("POST", "/v1/" .. os.getenv("BENCH_PATH"), headers, os.getenv("BENCH_BODY"))
end

request = function()
  return prepared
end
