(* valgrind.ml - cases of the Lwt suite that valgrind cannot run

   Used by suite_lwt.ml and family_lwt.ml; run.sh sets the variable. *)

let present = Sys.getenv_opt "XLCHILD_VALGRIND" <> None

(* A reason each time, for whoever reads the run's output. *)
let without ~why cases =
  if not present then cases
  else begin
    List.iter
      (fun (name, _, _) -> Printf.printf "skipped - %s: %s\n%!" name why)
      cases;
    []
  end
