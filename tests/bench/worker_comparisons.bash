# The comparisons of scripts/bench about the workers of a host together: how they share connections, what they take of memory, how
# soon they answer, started or on demand, and what it costs that they are watched. Sourced by it: what is not set here is set there.
# shellcheck shell=bash disable=SC2154

# ---- sharing: slow and fast handlers through a web server, in four workers

# start_sharing_nginx kept|fresh PORT
start_sharing_nginx() {
  local pool='' keep=off user=''
  if [[ $1 == kept ]]; then pool='keepalive 64; keepalive_requests 100000000;' keep=on; fi
  if ((EUID == 0)); then user='user root;'; fi
  mkdir -p "$work/server"
  cat >"$work/nginx.conf" <<END
daemon off; $user pid "$work/nginx.pid"; error_log stderr warn; worker_processes 1;
events { worker_connections 1024; }
http {
  access_log off; keepalive_requests 100000000;
  client_body_temp_path "$work/server/body"; proxy_temp_path "$work/server/proxy";
  fastcgi_temp_path "$work/server/fastcgi"; scgi_temp_path "$work/server/scgi"; uwsgi_temp_path "$work/server/uwsgi";
  fastcgi_param REQUEST_METHOD \$request_method; fastcgi_param SCRIPT_NAME \$uri; fastcgi_param QUERY_STRING \$query_string;
  fastcgi_param SERVER_PROTOCOL \$server_protocol; fastcgi_param REMOTE_ADDR \$remote_addr;
  upstream weft { server "unix:$socket"; $pool }
  server { listen 127.0.0.1:$2; location / { fastcgi_pass weft; fastcgi_keep_conn $keep; } }
}
END
  start_web_server nginx "$2" nginx -e stderr -c "$work/nginx.conf"
}

# workers_of_status COLUMN: of each worker, as `weft status` has it.
workers_of_status() {
  "$weft" status --control "$work/control.sock" | awk -v column="$1" '
    /^workers:/ { there = 1; getline; for (i = 1; i <= NF; ++i) if ($i == column) at = i; next }
    there && !NF { exit }
    there { print $at }'
}

# The name, requests a second, connections at most, and what is asked for. All together a third of one processor's time.
sharing_asks=('fast:300:64:/fast' 'plain:60:64:/plain?ms=50' 'compute:60:64:/compute?us=5000' 'wait:100:64:/wait?ms=100')

compare_sharing() {
  require_programs sharing nginx
  begin_comparison "sharing: fast and slow handlers at random times, through nginx, 4 workers"
  local round way mode name port ask asks=() web_server
  mkdir -p "$work/mappings/default"
  cat >"$work/mappings/default/mapping.json" <<'END'
{ "httpHandlers": [
  { "add": { "verb": "GET", "path": "/fast", "type": "samples::HelloAsync, hello" } },
  { "add": { "verb": "GET", "path": "/plain", "type": "samples::Sleep, waiting" } },
  { "add": { "verb": "GET", "path": "/wait", "type": "samples::Wait, waiting" } },
  { "add": { "verb": "GET", "path": "/compute", "type": "bench::Compute, bench_handlers" } } ] }
END
  for ask in "${sharing_asks[@]}"; do asks+=(--ask "$ask"); done
  for ((round = 1; round <= rounds; ++round)); do
    for way in kept fresh; do
      for mode in $(in_order "$round" off new all); do
        start_mapped_weft_with_control "$mode"
        port=$(free_port)
        start_sharing_nginx $way "$port"
        note_command "$build_dir/bin/http-load" --port "$port" --seconds "$seconds" "${asks[@]}"
        "$build_dir/bin/http-load" --port "$port" --seconds "$seconds" "${asks[@]}" >"$work/answers" 2>>"$logs/http-load.log" ||
          [[ -s $work/answers ]] || die "http-load failed: $(tail -n 3 "$logs/http-load.log")"
        name=$way.$mode
        for ask in fast compute; do
          grep "\"name\":\"$ask\"" "$work/answers" >"$work/out"
          record_fields "$name.$ask" out p50_ms p99_ms
        done
        for ask in refused wrong; do
          record "$name.$ask" "$(sed -n "s/.*\"$ask\":\([0-9]*\).*/\1/p" "$work/answers" | awk '{ sum += $1 } END { print sum }')"
        done
        # Of each hundred requests; with four workers 25 is as even as can be.
        for ask in ended connections; do
          record "$name.$ask" "$(workers_of_status "$ask" |
            awk '{ sum += $1; if ($1 > most) most = $1 } END { print sum ? 100 * most / sum : 0 }')"
        done
        record "$name.passed" "$("$weft" status --control "$work/control.sock" | sed -n 's/.* \([0-9]*\) passed on.*/\1/p')"
        kill_group "$web_server"
        forget "$web_server"
        stop_server
      done
    done
  done
  echo '| connections | --share-connections | fast p50 ms | fast p99 ms | compute p99 ms | busiest worker, % of requests' \
    '| most connections, % | passed on | refused (503) | wrong |'
  echo '|---|---|---|---|---|---|---|---|---|---|'
  for way in kept fresh; do
    for mode in off new all; do
      name=$way.$mode
      echo "| $way | $mode | $(of "$name.fast.p50_ms" 3) | $(of "$name.fast.p99_ms" 2) | $(of "$name.compute.p99_ms" 2)" \
        "| $(of "$name.ended" 0) | $([[ $way == kept ]] && of "$name.connections" 0) | $(of "$name.passed" 0) | $(total "$name.refused") | $(total "$name.wrong") |"
    done
    for mode in new all; do
      echo "| $way | **$mode ÷ off** | $(ratio "$way.$mode.fast.p50_ms" "$way.off.fast.p50_ms")" \
        "| $(ratio "$way.$mode.fast.p99_ms" "$way.off.fast.p99_ms")" \
        "| $(ratio "$way.$mode.compute.p99_ms" "$way.off.compute.p99_ms") | $(ratio "$way.$mode.ended" "$way.off.ended") | | | | |"
    done
  done
  end_comparison
}
# start_mapped_weft_with_control MODE
start_mapped_weft_with_control() {
  start_server weft "$weft" serve --listen "unix:$socket" --workers 4 --mappings "$work/mappings" --modules "$build_dir/modules" \
    --control "$work/control.sock" --share-connections "$1" "${weft_args[@]}"
  # All of them, before somebody connects.
  local attempt
  for ((attempt = 0; attempt < 100; ++attempt)); do
    [[ $(workers_of_status state) != $'ready\nready\nready\nready' ]] || return 0
    sleep 0.05
  done
  die "weft has not four workers that are ready"
}

# ---- start: how soon a host answers, and what it takes

starts_in_a_round=5

compare_start() {
  begin_comparison "start: from the start of a host with one worker to its first answer, and its memory when it has been idle for 3 s"
  local round again site role process name command=()
  mkdir -p "$work/modules" "$work/mappings/default"
  cp "$build_dir/modules/hello.so" "$work/modules"
  echo '{ "httpHandlers": [ { "add": { "verb": "GET", "path": "/hello", "type": "samples::Hello, hello" } } ] }' \
    >"$work/mappings/default/mapping.json"
  for ((round = 1; round <= rounds; ++round)); do
    for site in $(in_order "$round" hello samples); do
      command=("$weft" serve --listen "unix:$socket" --workers 1)
      if [[ $site == hello ]]; then
        command+=(--mappings "$work/mappings" --modules "$work/modules")
      else
        command+=(--mappings handlers/samples/mappings --modules "$build_dir/modules")
      fi
      command+=("${weft_args[@]}")
      note_command "$build_dir/bin/start-time" --connect "unix:$socket" --script-name /hello -- "${command[@]}"
      for ((again = 0; again < starts_in_a_round; ++again)); do
        rm -f "$socket"
        record "$site.ms" "$("$build_dir/bin/start-time" --connect "unix:$socket" --script-name /hello -- "${command[@]}" 2>>"$logs/start.log")"
      done
      rm -f "$socket"
      setsid "${command[@]}" </dev/null >>"$logs/start.log" 2>&1 &
      server=$!
      groups+=("$server")
      sleep 3
      for process in "$server" $(workers); do
        role=$([[ $process == "$server" ]] && echo supervisor || echo worker)
        for name in VmRSS RssAnon RssFile; do
          record "$site.$role.$name" "$(awk -v name="$name:" '$1 == name { print $2 }' "/proc/$process/status")"
        done
        record "$site.$role.Pss" "$(awk '$1 == "Pss:" { print $2 }' "/proc/$process/smaps_rollup")"
      done
      stop_server
    done
  done
  echo '| modules | first answer, ms | process | VmRSS KiB | of it files | anonymous | PSS KiB |'
  echo '|---|---|---|---|---|---|---|'
  for site in hello samples; do
    for role in supervisor worker; do
      name=$site.$role
      echo "| $([[ $site == hello ]] && echo 'hello alone' || echo 'all samples') |" \
        "$([[ $role == worker ]] || of "$site.ms" 1) | $role | $(of "$name.VmRSS" 0) | $(of "$name.RssFile" 0)" \
        "| $(of "$name.RssAnon" 0) | $(of "$name.Pss" 0) |"
    done
  done
  end_comparison
}

# ---- ondemand: the request that a worker is started for

idle_requests_in_a_round=10

# wait_for_workers COUNT: until the supervisor has so many processes.
wait_for_workers() {
  local attempt
  for ((attempt = 0; attempt < 200; ++attempt)); do
    (($(workers | wc -w) != $1)) || return 0
    sleep 0.05
  done
  die "there are not $1 workers, but: $(workers)"
}

compare_ondemand() {
  begin_comparison "ondemand: a request of a host that has no worker, and the next one"
  local round again site which idle_timeout=200ms
  mkdir -p "$work/modules" "$work/mappings/default"
  cp "$build_dir/modules/hello.so" "$work/modules"
  echo '{ "httpHandlers": [ { "add": { "verb": "GET", "path": "/hello-async.ashx", "type": "samples::HelloAsync, hello" } } ] }' \
    >"$work/mappings/default/mapping.json"
  local on_demand=(--process-model ondemand --worker-idle-timeout "$idle_timeout")
  for ((round = 1; round <= rounds; ++round)); do
    for site in $(in_order "$round" hello samples); do
      if [[ $site == hello ]]; then
        start_server weft "$weft" serve --listen "unix:$socket" --workers 1 --mappings "$work/mappings" \
          --modules "$work/modules" "${on_demand[@]}" "${weft_args[@]}"
      else
        start_weft 1 "${on_demand[@]}"
      fi
      for ((again = 0; again < idle_requests_in_a_round; ++again)); do
        wait_for_workers 0
        for which in first next; do
          run_load out --script-name /hello-async.ashx --expect-body "$hello_body" --connections 1 --keep 0 --requests 1
          record "$site.$which.ms" "$(field out p50_ms)"
          record_errors "$site.$which" out
        done
      done
      stop_server
    done
  done
  echo '| modules | request | ms, bound 100 for the first | errors |'
  echo '|---|---|---|---|'
  for site in hello samples; do
    for which in first next; do
      echo "| $([[ $site == hello ]] && echo 'hello alone' || echo 'all samples') | $which" \
        "| $(of "$site.$which.ms" 2) | $(error_list "$site.$which") |"
    done
  done
  end_comparison
}

# ---- watched: what the price of a request is made of that could be turned off

# In turned order within a round, and each beside the defaults of the same round.
watched_ways=(defaults off traced logged both)
declare -A watched_arguments=(
  [defaults]=''
  [off]='--share-connections off'
  [traced]='--trace 100'
  [logged]='--access-log LOG'
  [both]='--access-log LOG --trace 100'
)

compare_watched() {
  begin_comparison "watched: GET /hello-async.ashx, 16 connections, 2 workers, with options that others can do without"
  local round mode way keep name arguments
  for ((round = 1; round <= rounds; ++round)); do
    for mode in kept fresh; do
      keep=$([[ $mode == kept ]] && echo 1 || echo 0)
      for way in $(in_order "$round" "${watched_ways[@]}"); do
        read -ra arguments <<<"${watched_arguments[$way]//LOG/$work/access.log}"
        start_weft 2 "${arguments[@]}"
        run_load out --script-name /hello-async.ashx --expect-body "$hello_body" --connections 16 \
          --keep "$keep" --warmup 5000 --seconds "$seconds" --pid "$server"
        stop_server
        rm -f "$work/access.log"
        name=$way.$mode
        record_fields "$name" out server_cpu_us req_per_s p50_ms p99_ms
        record_errors "$name" out
      done
    done
  done
  echo '| connections | options | server CPU µs/request | ÷ defaults | req/s | ÷ defaults | p50 ms | p99 ms | errors |'
  echo '|---|---|---|---|---|---|---|---|---|'
  for mode in kept fresh; do
    for way in "${watched_ways[@]}"; do
      name=$way.$mode
      echo "| $mode | $([[ $way == defaults ]] && echo 'the defaults' || echo "\`${watched_arguments[$way]//LOG/FILE}\`")" \
        "| $(of "$name.server_cpu_us" 2) | $(ratio "$name.server_cpu_us" "defaults.$mode.server_cpu_us")" \
        "| $(of "$name.req_per_s" 0) | $(ratio "$name.req_per_s" "defaults.$mode.req_per_s")" \
        "| $(of "$name.p50_ms" 3) | $(of "$name.p99_ms" 3) | $(error_list "$name") |"
    done
  done
  end_comparison
}
