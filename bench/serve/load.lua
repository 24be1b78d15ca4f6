-- For wrk: small requests for the model "a". With two arguments each connection pauses for a number of
-- milliseconds between them before its next request. Ends with a line of JSON.

wrk.method = "POST"
wrk.body = '{"model":"a","prompt":"x"}'
wrk.headers["Content-Type"] = "application/json"

function init(args)
  local least, most = tonumber(args[1]), tonumber(args[2])
  if least then
    math.randomseed(os.time())
    function delay() return math.random(least, most) end
  end
end

function done(summary, latency, requests)
  local wrong = summary.errors
  io.write(string.format(
    '{"requests": %d, "seconds": %.6f, "mean_us": %.1f, "p50_us": %.1f, "p99_us": %.1f, "errors": %d}\n',
    summary.requests, summary.duration / 1e6, latency.mean, latency:percentile(50), latency:percentile(99),
    wrong.connect + wrong.read + wrong.write + wrong.status + wrong.timeout))
end
