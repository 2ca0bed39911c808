(* life_service.ml - the service that outlives a daemon

   Shared by the daemon's two lives: life.ml and test_supervisor.ml. *)

open Xlchild_supervisor

let go folder = Filename.concat folder "go"
let log folder = Filename.concat folder "log"

let spec folder =
  service ~name:"lives" "/bin/sh"
    [
      "-c";
      Printf.sprintf "echo before; read x < %s; echo after; exit 7"
        (Filename.quote (go folder));
    ]
    ~output:(Log_file { path = log folder; most = 10_000; keep = 1 })
    ~readiness:(Line "before") ~restart:Never
