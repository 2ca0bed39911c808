(* domains.ml - children started from several domains at once

   Built where OCaml has domains (see dune), run by run.sh. Each domain starts
   children in a context of its own, then all of them in one that they share.
   Exits with 0 if every end came once, with its own status, to the domain that
   waited for it, and no child is left. *)

open Xlchild

let child =
  Filename.concat (Sys.getenv "XLCHILD_ROOT") "build/tests/helpers/child"

let domains = 4
let children = 100

let die format =
  Printf.ksprintf
    (fun text ->
      prerr_endline ("domains: " ^ text);
      exit 1)
    format

let verbs list = command ~search:false child list
let exit_with code = verbs [ "exit"; string_of_int code ]

let expect what code (ended : ended) =
  if ended.status <> Status (Unix.WEXITED code) then
    die "%s: not exit code %d" what code

(* What a domain does while the others do the same: allocates, so that the
   garbage collector stops all of them in the middle of it. *)
let allocate () = ignore (Sys.opaque_identity (List.init 1000 string_of_int))

let in_every_domain f =
  List.iter Domain.join
    (List.init domains (fun number ->
         Domain.spawn (fun () ->
             try f number
             with exn -> die "domain %d: %s" number (Printexc.to_string exn))))

(* ---- a context a domain ---- *)

exception Boom

let alone number =
  with_context @@ fun ctx ->
  let code i = ((number * 50) + i) mod 256 in
  for i = 1 to children do
    allocate ();
    expect "held" (code i) (Child.wait (start ctx (exit_with (code i))))
  done;
  let here = Domain.self () and seen = ref 0 in
  for i = 1 to children do
    ignore
      (start ctx (exit_with (code i))
         ~report:
           (Callback
              (fun ended ->
                if Domain.self () <> here then die "called in another domain";
                expect "reported" (code i) ended;
                incr seen)))
  done;
  while !seen < children do
    allocate ();
    ignore (wait_many ~timeout:0.05 ctx)
  done;
  let text = Printf.sprintf "domain %d" number in
  let outcome = run ctx (verbs [ "say"; text ]) ~stdout:`Capture in
  if String.trim outcome.out.data <> text then die "another's output";
  ignore (start ctx (exit_with 0) ~report:(Callback (fun _ -> raise Boom)));
  match wait ctx with
  | _ -> die "an exception was swallowed"
  | exception Boom -> ()

(* ---- one context for all ---- *)

let shared () =
  with_context @@ fun ctx ->
  set_starters ctx 2;
  let seen =
    Array.init domains (fun _ -> Array.init children (fun _ -> Atomic.make 0))
  in
  let left = Atomic.make (domains * children) in
  in_every_domain (fun number ->
      let report i =
        Callback
          (fun ended ->
            expect "shared" i ended;
            Atomic.incr seen.(number).(i);
            Atomic.decr left)
      in
      let half = children / 2 in
      for i = 0 to half - 1 do
        allocate ();
        ignore (start ctx (exit_with i) ~report:(report i))
      done;
      List.iter
        (function
          | Ok _ -> () | Result.Error e -> die "batch: %s" (error_text e))
        (start_many ctx
           (List.init half (fun i -> (exit_with (half + i), report (half + i)))));
      (* everybody pumps, whoever's child it is *)
      while Atomic.get left > 0 do
        ignore (wait_many ~timeout:0.02 ctx)
      done);
  Array.iteri
    (fun number row ->
      Array.iteri
        (fun i times ->
          if Atomic.get times <> 1 then
            die "child %d of domain %d: reported %d times" i number
              (Atomic.get times))
        row)
    seen;
  if count ctx <> 0 then die "children are left"

let () =
  in_every_domain alone;
  shared ();
  match Unix.waitpid [ Unix.WNOHANG ] (-1) with
  | _ -> die "a child is left"
  | exception Unix.Unix_error (Unix.ECHILD, _, _) ->
      Printf.printf "%d domains, %d children\n" domains
        (domains * children * 3)
