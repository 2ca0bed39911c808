(* bench/ocaml/lwt_peer.ml - Lwt_process.exec *)

open Lwt.Infix

let rec worker clock =
  if Timing.take clock then
    Lwt_process.exec (!Timing.child, [| !Timing.child |]) >>= fun status ->
    Timing.expect_zero status;
    worker clock
  else Lwt.return_unit

let run clock =
  Lwt_main.run
    (Lwt.join (List.init !Timing.concurrency (fun _ -> worker clock)))

let () =
  Timing.parse ();
  Timing.measure_with ~version:("Lwt " ^ Versions.lwt) "lwt" run
