-- GET of random secrets: BENCH_TOKEN, BENCH_PATHS (how many secrets there are), BENCH_HEADER (name of one more header).
local token = os.getenv("BENCH_TOKEN")
local paths = tonumber(os.getenv("BENCH_PATHS"))
local more = os.getenv("BENCH_HEADER")
local requests, prepared, turn = {}, 20000, 0

init = function(_)
  math.randomseed(os.time())
  for number = 1, prepared do
    local at = math.random(0, paths - 1)
    local path = string.format("/v1/secret/data/team-%02d/app-%03d/%06d", at % 50, at % 1000, at)
    local headers = { ["X-Vault-Token"] = token, ["X-Vault-Request"] = "true" }
    if more then headers[more] = "strong" end
    requests[number] = wrk.format("GET", path, headers)
  end
end

request = function()
  turn = turn % prepared + 1
  return requests[turn]
end
