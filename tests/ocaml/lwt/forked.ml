(* forked.ml - Lwt in a child of fork that goes on, and in its parent

   Run by run.sh. The parent's context is refused in the child, once, and is out
   of its loop; a new one works, whether the program said that it forked or
   not. *)

open Lwt.Infix

let exit_code ctx n =
  Xlchild_lwt.exec ctx
    (Xlchild.command "sh" [ "-c"; Printf.sprintf "exit %d" n ])
  >|= fun e ->
  match e.Xlchild.status with Status (WEXITED m) -> m = n | _ -> false

let told = ref []

let child_goes_on parents =
  Lwt.async_exception_hook := (fun exn -> told := exn :: !told);
  let refused =
    match Xlchild_lwt.start parents (Xlchild.command "true" []) with
    | _ -> false
    | exception Xlchild.Error { code = Invalid | Closed; _ } -> true
  in
  let fresh = Xlchild_lwt.create () in
  let works =
    Lwt_main.run
      (exit_code fresh 5 >>= fun first ->
       (* some turns of the loop, with the old watch in it *)
       Lwt_unix.sleep 0.05 >>= fun () ->
       exit_code fresh 6 >|= fun second -> first && second)
  in
  Xlchild_lwt.close fresh;
  Xlchild_lwt.close parents;
  refused && works && List.length !told <= 1

let try_it ~says ~live =
  let ctx = Xlchild_lwt.create () in
  Lwt_main.run (exit_code ctx 3) |> ignore;
  let running =
    if live then Some (Xlchild_lwt.exec ctx (Xlchild.command "sleep" [ "0.2" ]))
    else None
  in
  let right =
    match Lwt_unix.fork () with
    | 0 ->
        ignore (Unix.alarm 20);
        if says then Xlchild.postfork_child_noexec ();
        Unix._exit (if child_goes_on ctx then 0 else 1)
    | pid -> (
        match snd (Unix.waitpid [] pid) with
        | WEXITED 0 -> true
        | WEXITED n -> Printf.printf "child: exit %d\n%!" n; false
        | WSIGNALED n | WSTOPPED n ->
            Printf.printf "child: signal %d\n%!" n;
            false)
  in
  let still_works =
    Lwt_main.run
      (exit_code ctx 4 >>= fun a ->
       match running with
       | None -> Lwt.return a
       | Some p ->
           p >|= fun e -> a && e.Xlchild.status = Status (WEXITED 0))
  in
  Xlchild_lwt.close ctx;
  if not (right && still_works) then begin
    Printf.printf "WRONG: says %b, live %b: child %b, parent %b\n%!" says live
      right still_works;
    exit 1
  end

let () =
  List.iter
    (fun (says, live) -> try_it ~says ~live)
    [ (false, false); (true, false); (false, true); (true, true) ]
