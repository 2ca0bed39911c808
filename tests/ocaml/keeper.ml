(* keeper.ml - a daemon with one service, for test_groups.ml to kill

   keeper.exe FOLDER NAME log:PATH|syslog:SOCKET|none SCRIPT [family]: the service
   is ready when it says "up", and has a family that goes on failure; a line for
   each event. *)

open Xlchild_supervisor

let output text : output =
  match String.index_opt text ':' with
  | None -> Discard
  | Some i -> (
      let rest = String.sub text (i + 1) (String.length text - i - 1) in
      match String.sub text 0 i with
      | "log" -> Log_file { path = rest; most = 100_000_000; keep = 1 }
      | _ ->
          Xlchild_syslog.socket := rest;
          Syslog "kept")

let spec ?family name where script =
  service ~name "/bin/sh" [ "-c"; script ] ?family ~output:(output where)
    ~readiness:(Line "up")
    ~restart:(Always (Policy.back_off ~first:0.001 ~most:0.001 ()))

let () =
  match Array.to_list Sys.argv with
  | _ :: state_folder :: name :: where :: script :: more ->
      let family =
        if more = [] then None else Some Xlchild.Family.On_failure
      in
      let on_event event = print_endline (event_text event) in
      let t = create ~state_folder ~on_event () in
      ignore (add t (spec ?family name where script));
      while true do
        ignore (Xlchild.poll ~timeout:1000. [])
      done
  | _ -> exit 2
