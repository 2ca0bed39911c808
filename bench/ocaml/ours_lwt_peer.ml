(* bench/ocaml/ours_lwt_peer.ml - Xlchild_lwt.exec *)

open Lwt.Infix

let expect_zero (ended : Xlchild.ended) =
  match ended.status with
  | Status status -> Timing.expect_zero status
  | Lost _ -> failwith "a status was lost"

let rec worker ctx command clock =
  if Timing.take clock then
    Xlchild_lwt.exec ctx command >>= fun ended ->
    expect_zero ended;
    worker ctx command clock
  else Lwt.return_unit

let () =
  Timing.parse ();
  let ctx = Xlchild_lwt.create () in
  let command = Xlchild.command !Timing.child [] in
  Timing.measure "xlchild-lwt" (fun clock ->
      Lwt_main.run
        (Lwt.join
           (List.init !Timing.concurrency (fun _ ->
                worker ctx command clock))));
  Xlchild_lwt.close ctx
