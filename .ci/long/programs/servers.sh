# servers.sh NAME: starts that server with all its files in the current directory, uses it a little, and ends it.
set -euo pipefail
here=$PWD
# Waits until a command succeeds.
await() {
    local try
    for try in {1..600}; do
        "$@" >/dev/null 2>&1 && return
        sleep 0.1
    done
    return 1
}
# Asks a web server on this port for a page, a few times, and several at once.
ask() {
    await curl -sf "http://127.0.0.1:$1/"
    for _ in 1 2 3; do curl -sf "http://127.0.0.1:$1/" | grep -q hello; done
    curl -sf -Z "http://127.0.0.1:$1/?[1-20]" >/dev/null
}
mkdir -p www
echo hello >www/index.html
case $1 in
nginx)
    cat >nginx.conf <<CONF
user root;
worker_processes 2;
pid $here/nginx.pid;
error_log $here/error.log;
events { worker_connections 64; }
http { access_log off; server { listen 127.0.0.1:18181; root $here/www; } }
CONF
    nginx -p "$here" -c "$here/nginx.conf"
    ask 18181
    nginx -p "$here" -c "$here/nginx.conf" -s quit
    ;;
apache2)
    modules=/usr/lib/apache2/modules
    cat >apache.conf <<CONF
ServerRoot $here
ServerName localhost
PidFile $here/apache.pid
ErrorLog $here/error.log
Listen 127.0.0.1:18182
LoadModule mpm_event_module $modules/mod_mpm_event.so
LoadModule authz_core_module $modules/mod_authz_core.so
LoadModule dir_module $modules/mod_dir.so
StartServers 2
DocumentRoot $here/www
User nobody
Group nogroup
CONF
    apache2 -f "$here/apache.conf" -k start
    ask 18182
    apache2 -f "$here/apache.conf" -k stop
    ;;
lighttpd)
    printf 'server.document-root = "%s/www"\nserver.port = 18183\nserver.bind = "127.0.0.1"\nindex-file.names = ("index.html")\n' \
        "$here" >lighttpd.conf
    lighttpd -D -f lighttpd.conf &
    ask 18183
    kill $!
    ;;
redis)
    redis-server --port 0 --unixsocket "$here/redis" --dir "$here" --save "" --appendonly yes >redis.log &
    await redis-cli -s redis ping
    redis-cli -s redis eval "for i = 1, 20000 do redis.call('set', 'key' .. i, string.rep('x', i % 100)) end" 0
    redis-cli -s redis bgsave
    redis-cli -s redis bgrewriteaof || true
    redis-cli -s redis flushall async
    redis-cli -s redis shutdown nosave
    wait
    ;;
memcached)
    memcached -u root -s "$here/memcached" -m 16 -t 2 &
    await test -S memcached
    printf 'set key 0 0 5\r\nhello\r\nget key\r\nquit\r\n' | curl -s --max-time 5 --unix-socket "$here/memcached" telnet://localhost | grep -q hello
    kill $!
    ;;
postgresql)
    bin=$(ls -d /usr/lib/postgresql/*/bin | tail -1)
    mkdir data
    chown postgres data .
    as() { setpriv --reuid postgres --regid postgres --clear-groups "$@"; }
    as "$bin/initdb" -D data -N --no-locale -E UTF8 >/dev/null
    as "$bin/pg_ctl" -D data -s -w -l data/log -o "-k $here -c listen_addresses= -c shared_buffers=8MB -c max_connections=10 -c fsync=off" start
    as "$bin/psql" -q -h "$here" -d postgres <<'SQL'
create table t as select i, repeat('x', i % 50) as x from generate_series(1, 20000) as i;
create index on t (x);
set max_parallel_workers_per_gather = 2;
set min_parallel_table_scan_size = 0;
set parallel_setup_cost = 0;
select count(distinct x) from t;
vacuum analyze t;
SQL
    as "$bin/pg_ctl" -D data -s -w -m fast stop
    ;;
mariadb)
    mariadb-install-db --no-defaults --user=root --datadir="$here/data" --auth-root-authentication-method=normal >install.log
    mariadbd --no-defaults --user=root --datadir="$here/data" --socket="$here/socket" --skip-networking --innodb-buffer-pool-size=16M 2>error.log &
    await mariadb-admin --no-defaults -u root --socket="$here/socket" ping
    mariadb --no-defaults -u root --socket="$here/socket" test <<'SQL'
create table t (i int primary key auto_increment, x varchar(50));
insert into t (x) values ('a'), ('b'), ('c');
insert into t (x) select a.x from t a, t b, t c, t d, t e, t f;
select count(distinct x) from t;
SQL
    mariadb-admin --no-defaults -u root --socket="$here/socket" shutdown
    wait
    ;;
*)
    echo "$1: no such server" >&2
    exit 1
    ;;
esac
