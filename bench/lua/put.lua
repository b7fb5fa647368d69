-- PUT of a secret of 1 KiB at random paths: BENCH_TOKEN, BENCH_PATHS.
local token = os.getenv("BENCH_TOKEN")
local paths = tonumber(os.getenv("BENCH_PATHS"))
local requests, prepared, turn = {}, 2000, 0

local function text(length)
  local letters = {}
  for number = 1, length do letters[number] = string.char(math.random(97, 122)) end
  return table.concat(letters)
end

init = function(_)
  math.randomseed(os.time())
  for number = 1, prepared do
    local at = math.random(0, paths - 1)
    local path = string.format("/v1/secret/data/team-%02d/app-%03d/%06d", at % 50, at % 1000, at)
    local body = '{"data":{"value":"' .. text(1012) .. '"}}'
    requests[number] = wrk.format("PUT", path, { ["X-Vault-Token"] = token, ["X-Vault-Request"] = "true" }, body)
  end
end

request = function()
  turn = turn % prepared + 1
  return requests[turn]
end
