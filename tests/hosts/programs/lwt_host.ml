(* lwt_host.ml - Lwt_process, whose SIGCHLD handler looks for its own pids.
   See ../README.md. *)
open Lwt.Infix

let write name words =
  let file =
    open_out_gen [ Open_wronly; Open_append; Open_creat ] 0o666
      (Sys.getenv name)
  in
  output_string file words;
  close_out file

let child = Sys.getenv "XLHOST_CHILD"
let exec words = Lwt_process.exec (child, Array.of_list (child :: words))

let one i =
  Lwt.catch
    (fun () ->
      exec
        [ "sleep-ms"; string_of_int (i mod 16); "exit";
          string_of_int (101 + i) ]
      >|= function
      | Unix.WEXITED code -> Printf.sprintf "%d %d\n" i code
      | WSIGNALED signal | WSTOPPED signal ->
          Printf.sprintf "%d signal %d\n" i signal)
    (fun error ->
      Lwt.return (Printf.sprintf "%d lost %s\n" i (Printexc.to_string error)))
  >|= write "XLHOST_RESULT"

let () =
  Lwt_main.run
    ( exec [ "exit"; "0" ] >>= fun _ ->
      write "XLHOST_GO" "go\n";
      Lwt.join (List.init 50 one) );
  write "XLHOST_GO" "done\n";
  let file = Unix.openfile (Sys.getenv "XLHOST_END") [ O_RDONLY ] 0 in
  let rec stay () =
    try ignore (Unix.read file (Bytes.create 4) 0 4)
    with Unix.Unix_error (EINTR, _, _) -> stay ()
  in
  stay ()
