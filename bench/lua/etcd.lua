-- PUT of 1 KiB under random keys at etcd's JSON gateway: BENCH_PATHS.
local paths = tonumber(os.getenv("BENCH_PATHS"))
local requests, prepared, turn = {}, 2000, 0
local digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

-- Random base64 without padding is random bytes: 1,368 characters are 1,026 bytes, 16 are a key of 12.
local function base64(length)
  local letters = {}
  for number = 1, length do
    local at = math.random(1, 64)
    letters[number] = digits:sub(at, at)
  end
  return table.concat(letters)
end

init = function(_)
  math.randomseed(os.time())
  for number = 1, prepared do
    local key = string.format("%016d", math.random(0, paths - 1))
    local body = '{"key":"' .. key .. '","value":"' .. base64(1368) .. '"}'
    requests[number] = wrk.format("POST", "/v3/kv/put", { ["Content-Type"] = "application/json" }, body)
  end
end

request = function()
  turn = turn % prepared + 1
  return requests[turn]
end
