# The comparisons of scripts/bench about handlers that wait, and about more load than there is room for. Sourced by it: what
# is not set here is set there.
# shellcheck shell=bash disable=SC2154

# write_mappings SECTIONS: mapping files in $work/mappings with these sections, a JSON object, and the handlers of bench_handlers.
write_mappings() {
  mkdir -p "$work/mappings/default"
  echo "{ \"sections\": $1 }" >"$work/mappings/machine.json"
  cat >"$work/mappings/default/mapping.json" <<'END'
{ "httpHandlers": [
  { "add": { "verb": "GET", "path": "/compute", "type": "bench::Compute, bench_handlers" } },
  { "add": { "verb": "GET", "path": "/timers", "type": "bench::Timers, bench_handlers" } } ] }
END
}
# start_mapped_weft WORKERS: with these mapping files.
start_mapped_weft() {
  start_server weft "$weft" serve --listen "unix:$socket" --workers "$1" --mappings "$work/mappings" \
    --modules "$build_dir/modules" "${weft_args[@]}"
}

# ---- fanout: calls to ten upstreams at once

# start_upstreams: ten that take 100 ms; upstream_ports are theirs. stop_upstreams ends them.
start_upstreams() {
  local attempt
  : >"$work/ports"
  setsid "$build_dir/bin/slow-upstream" --ports 10 --ms 100 </dev/null >"$work/ports" 2>>"$logs/slow-upstream.log" &
  upstreams=$!
  groups+=("$upstreams")
  note_command "$build_dir/bin/slow-upstream" --ports 10 --ms 100
  for ((attempt = 0; attempt < 100; ++attempt)); do
    mapfile -t upstream_ports <"$work/ports"
    ((${#upstream_ports[@]} < 10)) || return 0
    sleep 0.05
  done
  die "slow-upstream does not listen"
}
stop_upstreams() {
  kill_group "$upstreams"
  forget "$upstreams"
}

fanout_again=5

compare_fanout() {
  begin_comparison "fanout: GET /fanout.ashx, 10 upstreams of which each takes 100 ms, one worker"
  local round upstreams upstream_ports urls count name again
  local ask=(--script-name /fanout.ashx --expect-times '10:"status": 200' --stall-seconds 30)
  for ((round = 1; round <= rounds; ++round)); do
    start_upstreams
    printf -v urls '"http://127.0.0.1:%s/", ' "${upstream_ports[@]}"
    write_mappings "{ \"fanout\": { \"upstreams\": [${urls%, }], \"timeoutMilliseconds\": 10000 } }"
    for count in $(in_order "$round" 1 500); do
      start_mapped_weft 1
      for ((again = 0; again <= fanout_again; ++again)); do
        # The first have nothing to reuse: no stacks, no memory.
        name=$count.$((again > 0))
        run_load out "${ask[@]}" --connections "$count" --requests "$count" --pid "$server"
        record_fields "$name" out max_in_flight p50_ms max_ms server_cpu_us rss_peak_kib
        record_errors "$name" out
        sleep 0.2
      done
      stop_server
    done
    stop_upstreams
  done
  echo '| requests at once | calls at once | | p50 ms | the last, ms | bound ms | errors | VmRSS peak KiB |'
  echo '|---|---|---|---|---|---|---|---|'
  for count in 1 500; do
    for again in 0 1; do
      name=$count.$again
      echo "| $(of "$name.max_in_flight" 0) | $((count * 10)) |" \
        "$([[ $again == 0 ]] && echo 'the first of a worker' || echo 'later ones') | $(of "$name.p50_ms" 0)" \
        "| $(of "$name.max_ms" 0) | $([[ $count == 1 ]] && echo 130 || echo 1000) | $(error_list "$name") | $(of "$name.rss_peak_kib" 0) |"
    done
  done
  end_comparison
}

# ---- pg: a database, by its own benchmark and through a worker

postgres_folder() {
  local folder
  for folder in /usr/lib/postgresql/*/bin /usr/bin; do
    if [[ -x $folder/initdb ]]; then echo "$folder"; fi
  done | sort -V | tail -n 1
}

# PostgreSQL refuses to run as root.
as_database_user=()
((EUID)) || as_database_user=(setpriv --reuid nobody --regid nogroup --clear-groups)

start_postgres() {
  local folder=$1 attempt
  chmod 711 "$work"  # the server's account looks for its socket below
  mkdir -p "$work/pg"
  if ((EUID == 0)); then chown nobody:nogroup "$work/pg"; fi
  "${as_database_user[@]}" "$folder/initdb" -D "$work/pg/data" -A trust -U weft -E UTF8 --locale C --no-sync >>"$logs/postgres.log" 2>&1 ||
    die "initdb failed: $(tail -n 3 "$logs/postgres.log")"
  setsid "${as_database_user[@]}" "$folder/postgres" -D "$work/pg/data" -k "$work/pg" -c listen_addresses= -c fsync=off \
    </dev/null >>"$logs/postgres.log" 2>&1 &
  postgres=$!
  groups+=("$postgres")
  for ((attempt = 0; attempt < 100; ++attempt)); do
    ! "$folder/pg_isready" -q -h "$work/pg" || break
    sleep 0.1
  done
  "$folder/pgbench" -i -q -s 1 "$pg_connection" >>"$logs/postgres.log" 2>&1 || die "pgbench -i failed: $(tail -n 3 "$logs/postgres.log")"
}

pg_connections=8
pg_rows=100000  # of pgbench -i -s 1
pg_clients=(16 64)  # in flight; the bound is for the last

compare_pg() {
  local folder postgres round mode clients ask
  local -A pgbench_mode=([pgbench]=simple [prepared]=prepared)
  local pg_connection="host=$work/pg user=weft dbname=postgres"
  folder=$(postgres_folder)
  [[ -n $folder && -f $build_dir/modules/pg.so ]] || die "pg needs PostgreSQL (Debian: postgresql) and libpq-dev"
  begin_comparison "pg: GET /pg.ashx?id=N, one worker with $pg_connections connections, and pgbench -S -c $pg_connections, PostgreSQL"
  start_postgres "$folder"
  write_mappings "{ \"pg\": { \"connection\": \"$pg_connection\", \"connections\": $pg_connections } }"
  ask=(--script-name /pg.ashx --query 'id={random}' --random "$pg_rows"
    --expect-body $'{"aid":{random},"bid":1,"abalance":0}\n')
  for ((round = 1; round <= rounds; ++round)); do
    for mode in $(in_order "$round" "${pg_clients[@]}" pgbench prepared); do
      if [[ $mode == [0-9]* ]]; then
        start_mapped_weft 1
        run_load out "${ask[@]}" --connections "$mode" --warmup 2000 --seconds "$seconds" --pid "$server"
        stop_server
        record_fields "$mode" out req_per_s p50_ms p99_ms server_cpu_us generator_cpu_percent
        record_errors "$mode" out
      else
        note_command "$folder/pgbench" -n -S -M "${pgbench_mode[$mode]}" -c "$pg_connections" -T "$seconds" "$pg_connection"
        "$folder/pgbench" -n -S -M "${pgbench_mode[$mode]}" -c "$pg_connections" -T "$seconds" "$pg_connection" >"$work/pgbench" \
          2>>"$logs/postgres.log" || die "pgbench failed: $(tail -n 3 "$logs/postgres.log")"
        record "$mode.req_per_s" "$(sed -n 's/^tps = \([0-9.]*\) .*/\1/p' "$work/pgbench")"
        record "$mode.average_ms" "$(sed -n 's/^latency average = \([0-9.]*\) ms/\1/p' "$work/pgbench")"
      fi
    done
  done
  kill_group "$postgres"
  forget "$postgres"
  echo '| | in flight | queries/s | average or p50 ms | p99 ms | errors | worker CPU µs/request | generator CPU % |'
  echo '|---|---|---|---|---|---|---|---|'
  for clients in "${pg_clients[@]}"; do
    echo "| weft | $clients | $(of "$clients.req_per_s" 0) | $(of "$clients.p50_ms" 3) | $(of "$clients.p99_ms" 3)" \
      "| $(error_list "$clients") | $(of "$clients.server_cpu_us" 1) | $(of "$clients.generator_cpu_percent" 0) |"
  done
  echo "| pgbench -S -c $pg_connections | $pg_connections | $(of pgbench.req_per_s 0) | $(of pgbench.average_ms 3) | | | | |"
  echo "| the same with -M prepared, as weft asks | $pg_connections | $(of prepared.req_per_s 0) | $(of prepared.average_ms 3) | | | | |"
  for clients in "${pg_clients[@]}"; do
    echo "| **weft ÷ pgbench**$([[ $clients != "${pg_clients[-1]}" ]] || echo ', bound 0.80') | $clients" \
      "| $(ratio "$clients.req_per_s" pgbench.req_per_s) | | | | | |"
    echo "| weft ÷ pgbench -M prepared | $clients | $(ratio "$clients.req_per_s" prepared.req_per_s) | | | | | |"
  done
  end_comparison
}

# ---- overload: three times what a worker can do

# Each kind: what is asked, and the closed loop's connections that find its peak.
declare -A overload_path=([reactor]=/compute [pool]=/sleep.ashx) overload_query=([reactor]=us=300 [pool]=ms=10)
declare -A overload_clients=([reactor]=16 [pool]=80)
declare -A overload_what=([reactor]='async, 0.3 ms of CPU of the reactor' [pool]='plain, 10 ms on a thread of the pool')
overload_loads=(0.8 1 1.2 3)

compare_overload() {
  begin_comparison "overload: more requests than one worker can serve, at random times (open loop), options as shipped"
  local round kind times peak ask open
  write_mappings '{}'
  for ((round = 1; round <= rounds; ++round)); do
    for kind in $(in_order "$round" reactor pool); do
      ask=(--script-name "${overload_path[$kind]}" --query "${overload_query[$kind]}")
      open=(--connections 4000 --allow-503 --stall-seconds 30)
      start_mapped_weft 1
      run_load peak "${ask[@]}" --connections "${overload_clients[$kind]}" --warmup 500 --seconds "$seconds" --pid "$server"
      stop_server
      peak=$(field peak req_per_s)
      record "$kind.peak" "$peak"
      record_errors "$kind.peak" peak
      for times in $(in_order "$round" "${overload_loads[@]}"); do
        start_mapped_weft 1
        run_load out "${ask[@]}" "${open[@]}" --settle 2 --seconds "$((seconds * 3))" --pid "$server" \
          --rate "$(awk -v peak="$peak" -v times="$times" 'BEGIN { print peak * times }')"
        stop_server
        record_fields "$kind.$times" out req_per_s p50_ms p99_ms max_ms shed shed_p99_ms late_p99_ms max_in_flight requests
        record_errors "$kind.$times" out
        record "$kind.$times.goodput" "$(awk -v now="$(field out req_per_s)" -v peak="$peak" 'BEGIN { print 100 * now / peak }')"
        record "$kind.$times.shed_percent" "$(awk -v shed="$(field out shed)" -v all="$(field out requests)" \
          'BEGIN { print 100 * shed / all }')"
      done
    done
  done
  echo '| handlers | load, times the peak | goodput, % of the peak | accepted p50 ms | p99 ms | p99 ÷ that at capacity | refused % (503)' \
    '| refused p99 ms | errors | generator late, p99 ms |'
  echo '|---|---|---|---|---|---|---|---|---|---|'
  for kind in reactor pool; do
    for times in "${overload_loads[@]}"; do
      echo "| ${overload_what[$kind]} | $times | $(of "$kind.$times.goodput" 1) | $(of "$kind.$times.p50_ms" 1)" \
        "| $(of "$kind.$times.p99_ms" 1) | $(ratio "$kind.$times.p99_ms" "$kind.1.p99_ms") | $(of "$kind.$times.shed_percent" 1)" \
        "| $(of "$kind.$times.shed_p99_ms" 1) | $(error_list "$kind.$times") | $(of "$kind.$times.late_p99_ms" 2) |"
    done
  done
  echo
  for kind in reactor pool; do
    echo "The peak of handlers that are ${overload_what[$kind]}, closed loop of ${overload_clients[$kind]}:" \
      "$(of "$kind.peak" 0) requests a second, errors $(error_list "$kind.peak")."
  done
  end_comparison
}

# ---- waits: as many as there may be, in two workers

compare_waits() {
  begin_comparison "waits: 10,000 requests of /wait.ashx?ms=1000 in flight, 2 workers, each on a connection of its own"
  local round name ask process
  for ((round = 1; round <= rounds; ++round)); do
    for name in $(in_order "$round" first later); do
      start_weft 2
      # All at the same moment, and there is nothing to reuse; or one after another.
      if [[ $name == first ]]; then ask=(--requests 10000); else ask=(--requests 40000 --ramp 1); fi
      start_load out --script-name /wait.ashx --query ms=1000 --expect-body $'waited 1000 ms\n' --connections 10000 \
        "${ask[@]}" --stall-seconds 30 --pid "$server"
      # Once all wait, and before the first are answered.
      sleep "$([[ $name == first ]] && echo 0.95 || echo 2.5)"
      record "$name.pss" "$(for process in "$server" $(workers); do awk '/^Pss:/ { print $2 }' "/proc/$process/smaps_rollup"; done |
        awk '{ sum += $1 } END { print sum * 1024 / 1e6 }')"
      wait_load "$load_pid" out
      record_fields "$name" out max_in_flight ok p50_ms p99_ms max_ms server_cpu_us rss_peak_kib busiest_process_percent
      record "$name.mb" "$(awk -v kib="$(field out rss_peak_kib)" 'BEGIN { print kib * 1024 / 1e6 }')"
      record_errors "$name" out
      stop_server
    done
  done
  echo '| | in flight | answered right | errors | p50 ms | p99 ms, bound 1250 | max ms | memory of all processes, shared pages once (PSS), MB, bound 300' \
    '| the sum of VmRSS at its peak, MB | CPU µs/request | busiest process, % of server CPU |'
  echo '|---|---|---|---|---|---|---|---|---|---|---|'
  for name in first later; do
    echo "| $([[ $name == first ]] && echo 'all at the same moment' ||
      echo 'spread over a second, each four times') | $(of $name.max_in_flight 0)" \
      "| $(of $name.ok 0) | $(error_list $name) | $(of $name.p50_ms 0) | $(of $name.p99_ms 0) | $(of $name.max_ms 0)" \
      "| $(of $name.pss 0) | $(of $name.mb 0) | $(of $name.server_cpu_us 1) | $(of $name.busiest_process_percent 0) |"
  done
  end_comparison
}

# ---- timers: what waits for long, or goes off now and then, while nobody asks

# ticks PID: clock ticks of processor time that it has used.
ticks() {
  sed 's/.*) //' "/proc/$1/stat" | awk '{ print $12 + $13 }'
}

compare_timers() {
  begin_comparison "timers: 100,000 timers of Asio's in one worker that has no requests"
  local round period worker before expired from to span=$((seconds * 3))
  write_mappings '{}'
  for ((round = 1; round <= rounds; ++round)); do
    for period in $(in_order "$round" none 3600000 60000 10000); do
      start_mapped_weft 1
      if [[ $period != none ]]; then
        run_load out --script-name /timers --query "count=100000&ms=$period" --connections 1 --requests 1
        record_errors "$period" out
      fi
      worker=$(pgrep -P "$server" | head -n 1)
      sleep 1
      before=$(ticks "$worker")
      from=$EPOCHREALTIME
      sleep "$span"
      to=$EPOCHREALTIME
      record "$period.percent" "$(awk -v ticks="$(($(ticks "$worker") - before))" -v hertz="$(getconf CLK_TCK)" -v from="$from" \
        -v to="$to" 'BEGIN { print 100 * ticks / hertz / (to - from) }')"
      record "$period.mb" "$(awk '/^VmRSS/ { print $2 * 1024 / 1e6 }' "/proc/$worker/status")"
      stop_server
    done
  done
  echo '| timers | each goes off | in all, a second | worker CPU, % of a core, bound 10 | worker VmRSS, MB | errors |'
  echo '|---|---|---|---|---|---|'
  for period in none 3600000 60000 10000; do
    if [[ $period == none ]]; then
      echo "| 0 | – | 0 | $(of none.percent 2) | $(of none.mb 0) | |"
    else
      echo "| 100,000 | every $((period / 1000)) s | $((100000000 / period)) | $(of $period.percent 2) | $(of $period.mb 0)" \
        "| $(error_list $period) |"
    fi
  done
  end_comparison
}

# ---- switch: the runtime's own price

compare_switch() {
  begin_comparison "switch: processor time of the runtime's parts, beside the same by callbacks of Asio"
  note_command "$build_dir/bin/runtime-bench" --rounds $((rounds + 1))
  "$build_dir/bin/runtime-bench" --rounds $((rounds + 1))
  end_comparison
}

# ---- idle: what a worker does when there is nothing to do

compare_idle() {
  require_programs idle strace
  begin_comparison "idle: system calls of a worker's threads in $idle_seconds s without a request, options as shipped"
  local worker call
  start_weft 2
  for worker in $(workers); do
    sleep 1
    note_command strace -f -c -p WORKER
    timeout --signal=INT "$idle_seconds" strace -f -c -p "$worker" -o "$work/calls" 2>/dev/null || true
    while read -r call; do record "idle.$call" "$(awk -v call="$call" '$NF == call { print $4 }' "$work/calls")"; done \
      < <(awk '$1 ~ /^[0-9.]+$/ && $NF != "total" { print $NF }' "$work/calls")
    record idle.all "$(awk '$NF == "total" { print $4 }' "$work/calls" | grep . || echo 0)"
  done
  stop_server
  echo '| system call | in each worker |'
  echo '|---|---|'
  for call in "$work"/series/idle.*; do
    call=${call##*/idle.}
    [[ $call == all ]] || echo "| $call | $(of "idle.$call" 0) |"
  done
  echo "| all | $(of idle.all 0) |"
  end_comparison
}
idle_seconds=10
