-- GET of random secrets: BENCH_TOKEN, BENCH_PATHS (how many secrets there are).
local token = os.getenv("BENCH_TOKEN")
local paths = tonumber(os.getenv("BENCH_PATHS"))
local requests, prepared, turn = {}, 20000, 0

init = function(_)
  math.randomseed(os.time())
  for number = 1, prepared do
    local at = math.random(0, paths - 1)
    local path = string.format("/v1/secret/data/team-%02d/app-%03d/%06d", at % 50, at % 1000, at)
    requests[number] = wrk.format("GET", path, { ["X-Vault-Token"] = token, ["X-Vault-Request"] = "true" })
  end
end

request = function()
  turn = turn % prepared + 1
  return requests[turn]
end
