(* life.ml - a daemon's first life: starts a service, says its pid, is killed

   Run by test_supervisor.ml with the state folder. *)

open Xlchild_supervisor

let () =
  let folder = Sys.argv.(1) in
  let t = create ~state_folder:folder () in
  add t (Life_service.spec folder);
  if await ~timeout:10. t "lives" Running then
    match pid t "lives" with
    | Some pid ->
        print_endline (string_of_int pid);
        Unix.sleep 1000
    | None -> exit 1
  else exit 1
