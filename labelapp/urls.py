"""All addresses of the site."""

from django.contrib import admin
from django.contrib.auth.views import LoginView, LogoutView
from django.urls import include, path

import active_learning.urls
from annotation.views.labeling import SignInByLink

urlpatterns = [
    path("", include("annotation.urls")),
    path("p/<slug:slug>/rounds/", include("active_learning.urls")),
    path("p/<slug:slug>/models/", include(active_learning.urls.models)),
    path("experiments/", include(active_learning.urls.experiments)),
    path("sign-in/", LoginView.as_view(template_name="sign_in.html", redirect_authenticated_user=True), name="sign-in"),
    path("sign-in/link/", SignInByLink.as_view(), name="sign-in-link"),
    path("sign-out/", LogoutView.as_view(), name="sign-out"),
    path("admin/", admin.site.urls),
]

handler400 = "labelapp.bad_requests.bad_request"
